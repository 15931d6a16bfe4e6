#define _GNU_SOURCE
#include "openane_bundle.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "json.h"

#define FIRST_SURFACE 4

struct member { char name[256]; const uint8_t *data; size_t bytes; };
struct binding { size_t value; uint32_t index; size_t elements; };
struct step { void *program; struct binding *inputs, *outputs; size_t input_count, output_count; };

struct openane_bundle {
    struct openane_library library;
    uint8_t *file;
    struct member *members;
    size_t member_count;
    struct json *manifest, *variant;
    struct openane_tensor *values; /* every value of the variant */
    size_t value_count;
    struct step *steps;
    size_t step_count;
    struct openane_tensor *inputs, *outputs; /* copies that share the data of the values */
    size_t input_count, output_count;
};

static int fail(char *error, size_t bytes, const char *form, ...)
{
    va_list arguments;
    va_start(arguments, form);
    if (error && bytes)
        vsnprintf(error, bytes, form, arguments);
    va_end(arguments);
    return -1;
}

/* The archive ----------------------------------------------------------------------------------------------------- */

static uint32_t le(const uint8_t *at, int bytes)
{
    uint32_t found = 0;
    for (int i = bytes; i-- > 0;)
        found = found << 8 | at[i];
    return found;
}

static int read_members(struct openane_bundle *b, size_t size, char *error, size_t error_bytes)
{
    const uint8_t *file = b->file, *end = NULL;
    for (size_t back = 22; back <= size && back < 22 + 65536 && !end; back++)
        if (le(file + size - back, 4) == 0x06054b50)
            end = file + size - back;
    if (!end)
        return fail(error, error_bytes, "not a bundle: it has no directory of members");
    size_t count = le(end + 10, 2), at = le(end + 16, 4);
    b->members = calloc(count ? count : 1, sizeof *b->members);
    for (size_t i = 0; b->members && i < count; i++) {
        if (at + 46 > size || le(file + at, 4) != 0x02014b50)
            return fail(error, error_bytes, "the directory of the bundle is damaged");
        size_t stored = le(file + at + 20, 4), bytes = le(file + at + 24, 4), name = le(file + at + 28, 2);
        size_t more = le(file + at + 30, 2) + le(file + at + 32, 2), local = le(file + at + 42, 4);
        struct member *m = &b->members[b->member_count];
        if (le(file + at + 10, 2) != 0 || stored != bytes || name >= sizeof m->name || at + 46 + name > size)
            return fail(error, error_bytes, "a member of the bundle is compressed or has a long name");
        if (local + 30 > size || le(file + local, 4) != 0x04034b50)
            return fail(error, error_bytes, "a member of the bundle has no header");
        size_t start = local + 30 + le(file + local + 26, 2) + le(file + local + 28, 2);
        if (start + bytes > size)
            return fail(error, error_bytes, "a member of the bundle is cut off");
        memcpy(m->name, file + at + 46, name);
        m->data = file + start;
        m->bytes = bytes;
        b->member_count++;
        at += 46 + name + more;
    }
    return b->members ? 0 : fail(error, error_bytes, "out of memory");
}

static const struct member *member_of(const struct openane_bundle *b, const char *name)
{
    for (size_t i = 0; name && i < b->member_count; i++)
        if (strcmp(b->members[i].name, name) == 0)
            return &b->members[i];
    return NULL;
}

/* The manifest ---------------------------------------------------------------------------------------------------- */

static size_t count_of(const struct json *list)
{
    size_t count = 0;
    for (struct json *each = list ? list->first : NULL; each; each = each->next)
        count++;
    return count;
}

static int read_values(struct openane_bundle *b, const struct json *variant, char *error, size_t error_bytes)
{
    const struct json *list = json_get(variant, "values");
    b->values = calloc(count_of(list) + 1, sizeof *b->values);
    for (struct json *each = list ? list->first : NULL; b->values && each; each = each->next) {
        const char *type = json_text(each, "type"), *name = json_text(each, "name");
        struct openane_tensor *made = &b->values[b->value_count];
        if (!type || !name || (strcmp(type, "float16") && strcmp(type, "float32")))
            return fail(error, error_bytes, "value %s: type %s, this loader has float16 and float32", name ? name : "?",
                        type ? type : "?");
        made->name = name;
        made->type = strcmp(type, "float16") ? OPENANE_FLOAT32 : OPENANE_FLOAT16;
        made->elements = 1;
        struct json *shape = json_get(each, "shape");
        for (struct json *extent = shape ? shape->first : NULL; extent; extent = extent->next)
            made->elements *= (size_t)extent->number;
        made->data = calloc(made->elements ? made->elements : 1, 4);
        if (!made->data)
            return fail(error, error_bytes, "out of memory");
        b->value_count++;
    }
    return b->values ? 0 : fail(error, error_bytes, "out of memory");
}

static int value_of(const struct openane_bundle *b, const char *name, size_t *index)
{
    for (*index = 0; name && *index < b->value_count; ++*index)
        if (strcmp(b->values[*index].name, name) == 0)
            return 0;
    return -1;
}

static int read_tensors(struct openane_bundle *b, const struct json *list, struct openane_tensor **made, size_t *count)
{
    *made = calloc(count_of(list) + 1, sizeof **made);
    for (struct json *each = list ? list->first : NULL; *made && each; each = each->next) {
        size_t index;
        if (value_of(b, json_text(each, "name"), &index))
            return -1;
        (*made)[(*count)++] = b->values[index];
    }
    return *made ? 0 : -1;
}

static int bind(const struct openane_bundle *b, const struct json *list, const struct json *buffers, uint32_t first,
                struct binding **made, size_t *count)
{
    *made = calloc(count_of(list) + 1, sizeof **made);
    for (struct json *each = list ? list->first : NULL; *made && each; each = each->next) {
        struct binding *binding = &(*made)[(*count)++];
        struct json *buffer = json_get(buffers, json_text(each, "name") ? json_text(each, "name") : "");
        if (!buffer || buffer->number < first || value_of(b, json_text(each, "value"), &binding->value))
            return -1;
        binding->index = (uint32_t)buffer->number - first;
        binding->elements = b->values[binding->value].elements;
    }
    return *made ? 0 : -1;
}

/* The library reads programs from files, so that each one is written to a temporary file first. */
static void *open_program(struct openane_bundle *b, const struct member *image, int device)
{
    char path[] = "/tmp/openane-XXXXXX.anec";
    int file = mkstemps(path, 5);
    if (file < 0)
        return NULL;
    size_t done = 0;
    while (done < image->bytes) {
        ssize_t wrote = write(file, image->data + done, image->bytes - done);
        if (wrote <= 0)
            break;
        done += (size_t)wrote;
    }
    close(file);
    void *program = done == image->bytes ? b->library.open(path, device) : NULL;
    unlink(path);
    return program;
}

static int read_step(struct openane_bundle *b, const struct json *step, int device, char *error, size_t error_bytes)
{
    struct json *number = json_get(step, "program"), *program = json_get(b->manifest, "programs");
    program = program ? program->first : NULL;
    for (size_t i = 0; program && i < (size_t)number->number; i++)
        program = program->next;
    struct json *anec = json_get(program, "anec"), *buffers = json_get(anec, "buffers");
    const struct member *image = member_of(b, json_text(anec, "member"));
    if (!image)
        return fail(error, error_bytes, "the bundle has no .anec programs: compile it with --anec");
    struct step *made = &b->steps[b->step_count++];
    uint32_t outputs = 0;
    struct json *surfaces = json_get(program, "surfaces");
    for (struct json *each = surfaces ? surfaces->first : NULL; each; each = each->next)
        outputs += json_text(each, "role") && strcmp(json_text(each, "role"), "output") == 0;
    if (bind(b, json_get(step, "inputs"), buffers, FIRST_SURFACE + outputs, &made->inputs, &made->input_count) ||
        bind(b, json_get(step, "outputs"), buffers, FIRST_SURFACE, &made->outputs, &made->output_count))
        return fail(error, error_bytes, "step %zu: its operands do not fit the program", b->step_count);
    made->program = open_program(b, image, device);
    return made->program ? 0 : fail(error, error_bytes, "step %zu: the library cannot open the program", b->step_count);
}

static int load(struct openane_bundle *b, const char *function, int device, char *error, size_t error_bytes)
{
    const struct member *text = member_of(b, "bundle.json");
    b->manifest = text ? json_parse((const char *)text->data, text->bytes) : NULL;
    struct json *schema = json_get(b->manifest, "schema"), *variants = json_get(b->manifest, "variants");
    if (!schema || schema->number != 1)
        return fail(error, error_bytes, "the bundle has no manifest of schema 1");
    struct json *variant = variants ? variants->first : NULL;
    while (function && variant && strcmp(function, json_text(variant, "function") ? json_text(variant, "function") : ""))
        variant = variant->next;
    if (!variant)
        return fail(error, error_bytes, "the bundle has no function %s", function ? function : "at all");
    b->variant = variant;
    struct json *steps = json_get(variant, "steps"), *constants = json_get(variant, "constants");
    for (struct json *each = steps ? steps->first : NULL; each; each = each->next)
        if (!json_get(each, "program"))
            return fail(error, error_bytes, "the model has a host step, %s; this loader runs engine steps only",
                        json_text(each, "host") ? json_text(each, "host") : "an ONNX model");
    if (read_values(b, variant, error, error_bytes))
        return -1;
    for (struct json *each = constants ? constants->first : NULL; each; each = each->next) {
        size_t index;
        const struct member *data = member_of(b, each->text);
        if (!data || value_of(b, each->name, &index) ||
            data->bytes != b->values[index].elements * (b->values[index].type == OPENANE_FLOAT16 ? 2 : 4))
            return fail(error, error_bytes, "the constant %s does not fit", each->name);
        memcpy(b->values[index].data, data->data, data->bytes);
    }
    b->steps = calloc(count_of(steps) + 1, sizeof *b->steps);
    for (struct json *each = steps ? steps->first : NULL; b->steps && each; each = each->next)
        if (read_step(b, each, device, error, error_bytes))
            return -1;
    if (!b->steps || read_tensors(b, json_get(variant, "inputs"), &b->inputs, &b->input_count) ||
        read_tensors(b, json_get(variant, "outputs"), &b->outputs, &b->output_count))
        return fail(error, error_bytes, "the inputs or outputs are not values of the variant");
    return 0;
}

/* Numbers --------------------------------------------------------------------------------------------------------- */

static uint16_t to_half(float number)
{
    uint32_t bits;
    memcpy(&bits, &number, 4);
    uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000)
        return (uint16_t)(sign | 0x7e00);
    if (magnitude == 0x7f800000)
        return (uint16_t)(sign | 0x7c00);
    if (magnitude >= 0x477ff000) /* finite values beyond fp16 become its largest one, as in openane */
        return (uint16_t)(sign | 0x7bff);
    if (magnitude < 0x33000000)
        return (uint16_t)sign;
    int exponent = (int)(magnitude >> 23) - 127, shift = exponent < -14 ? -1 - exponent : 13;
    uint32_t mantissa = (magnitude & 0x7fffff) | 0x800000;
    uint32_t kept = mantissa >> shift, rest = mantissa & ((1u << shift) - 1), half = 1u << (shift - 1);
    kept += rest > half || (rest == half && (kept & 1));
    return (uint16_t)(sign | (exponent < -14 ? kept : ((uint32_t)(exponent + 14) << 10) + kept));
}

static float to_single(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31, mantissa = half & 0x3ff, bits;
    float number;
    if (!exponent) {
        number = (float)mantissa / 16777216.0f;
        return sign ? -number : number;
    }
    bits = sign | (exponent == 31 ? 0x7f800000 : (exponent + 112) << 23) | mantissa << 13;
    memcpy(&number, &bits, 4);
    return number;
}

/* The interface --------------------------------------------------------------------------------------------------- */

int openane_libane(const char *path, struct openane_library *library, char *error, size_t error_bytes)
{
    void *handle = dlopen(path, RTLD_NOW);
    if (!handle)
        return fail(error, error_bytes, "%s", dlerror());
    *(void **)&library->open = dlsym(handle, "__ane_init");
    *(void **)&library->execute = dlsym(handle, "ane_exec");
    *(void **)&library->send = dlsym(handle, "__ane_send");
    *(void **)&library->read = dlsym(handle, "__ane_read");
    *(void **)&library->close = dlsym(handle, "__ane_free");
    if (!library->open || !library->execute || !library->send || !library->read)
        return fail(error, error_bytes, "%s lacks a function of libane", path);
    return 0;
}

struct openane_bundle *openane_open(const char *path, const char *function, const struct openane_library *library,
                                    int device, char *error, size_t error_bytes)
{
    struct openane_bundle *b = calloc(1, sizeof *b);
    FILE *file = fopen(path, "rb");
    long size = -1;
    if (b && file && fseek(file, 0, SEEK_END) == 0 && (size = ftell(file)) > 0 && fseek(file, 0, SEEK_SET) == 0)
        b->file = malloc((size_t)size);
    if (!b || !b->file || fread(b->file, 1, (size_t)size, file) != (size_t)size) {
        fail(error, error_bytes, "cannot read %s", path);
    } else {
        b->library = *library;
        if (read_members(b, (size_t)size, error, error_bytes) == 0 && load(b, function, device, error, error_bytes) == 0) {
            fclose(file);
            return b;
        }
    }
    if (file)
        fclose(file);
    openane_close(b);
    return NULL;
}

size_t openane_inputs(struct openane_bundle *b, struct openane_tensor **tensors)
{
    *tensors = b->inputs;
    return b->input_count;
}

size_t openane_outputs(struct openane_bundle *b, struct openane_tensor **tensors)
{
    *tensors = b->outputs;
    return b->output_count;
}

int openane_run(struct openane_bundle *b, char *error, size_t error_bytes)
{
    for (size_t s = 0; s < b->step_count; s++) {
        struct step *step = &b->steps[s];
        for (size_t i = 0; i < step->input_count + step->output_count; i++) {
            int sends = i < step->input_count;
            struct binding *bound = sends ? &step->inputs[i] : &step->outputs[i - step->input_count];
            struct openane_tensor *tensor = &b->values[bound->value];
            uint16_t *packed = malloc(2 * bound->elements + 2);
            if (!packed)
                return fail(error, error_bytes, "out of memory");
            if (!sends && i == step->input_count && b->library.execute(step->program)) {
                free(packed);
                return fail(error, error_bytes, "step %zu: the engine did not finish", s + 1);
            }
            if (!sends)
                b->library.read(step->program, packed, bound->index);
            for (size_t e = 0; e < bound->elements; e++) {
                if (tensor->type == OPENANE_FLOAT16 && sends)
                    packed[e] = ((uint16_t *)tensor->data)[e];
                else if (tensor->type == OPENANE_FLOAT16)
                    ((uint16_t *)tensor->data)[e] = packed[e];
                else if (sends)
                    packed[e] = to_half(((float *)tensor->data)[e]);
                else
                    ((float *)tensor->data)[e] = to_single(packed[e]);
            }
            if (sends)
                b->library.send(step->program, packed, bound->index);
            free(packed);
        }
    }
    struct json *states = json_get(b->variant, "states");
    for (struct json *each = states ? states->first : NULL; each; each = each->next) {
        size_t from, to;
        if (value_of(b, each->text, &from) == 0 && value_of(b, each->name, &to) == 0)
            memcpy(b->values[to].data, b->values[from].data,
                   b->values[to].elements * (b->values[to].type == OPENANE_FLOAT16 ? 2 : 4));
    }
    return 0;
}

void openane_close(struct openane_bundle *b)
{
    if (!b)
        return;
    for (size_t i = 0; i < b->step_count; i++) {
        if (b->library.close && b->steps[i].program)
            b->library.close(b->steps[i].program);
        free(b->steps[i].inputs);
        free(b->steps[i].outputs);
    }
    for (size_t i = 0; i < b->value_count; i++)
        free(b->values[i].data);
    free(b->steps);
    free(b->values);
    free(b->inputs);
    free(b->outputs);
    free(b->members);
    json_free(b->manifest);
    free(b->file);
    free(b);
}
