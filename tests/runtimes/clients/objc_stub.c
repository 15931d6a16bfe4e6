/* Just enough of an Objective-C runtime to check how calls and blocks are passed. Selectors are their own names. */
#include <stdint.h>
#include <string.h>

struct block {
    void *isa;
    int flags, reserved;
    void (*invoke)(struct block *, int64_t, void *);
    struct { unsigned long reserved, size; } *descriptor;
};

void *_NSConcreteGlobalBlock[32];
static int test_class, pools;
static const char *known[] = {"first:second:", "negate:", "UTF8String", "give:", "call:", "nothing"};

void *objc_getClass(const char *name) { return strcmp(name, "Test") == 0 ? &test_class : 0; }
void *sel_registerName(const char *name)
{
    for (unsigned i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i], name) == 0)
            return (void *)known[i];
    return (void *)"unknown";
}
void *object_getClass(void *object) { return object; }
_Bool class_respondsToSelector(void *class, const char *selector)
{
    return class == &test_class && strcmp(selector, "unknown") != 0;
}
void *objc_autoreleasePoolPush(void) { return (void *)(intptr_t)(++pools); }
void objc_autoreleasePoolPop(void *pool) { pools -= (intptr_t)pool == pools; }
int32_t open_pools(void) { return pools; }

static void *answer(const char *selector, void *a, uint32_t b)
{
    if (strcmp(selector, "first:second:") == 0)
        return (void *)((intptr_t)a * 1000 + b);
    if (strcmp(selector, "negate:") == 0)
        return (void *)(intptr_t)(int8_t)-(int8_t)(intptr_t)a;
    if (strcmp(selector, "UTF8String") == 0)
        return (void *)"gr\xc3\xbc\xc3\x9f";
    if (strcmp(selector, "give:") == 0)
        *(void **)a = (void *)0x1234;
    if (strcmp(selector, "call:") == 0) {
        struct block *block = a;
        if (block->isa == (void *)_NSConcreteGlobalBlock && block->descriptor->size == sizeof *block)
            block->invoke(block, -5, (void *)0x77);
    }
    return 0;
}
void *objc_msgSend(void *self, const char *selector, void *a, uint32_t b)
{
    return self == &test_class ? answer(selector, a, b) : 0;
}
double twice(double value, int32_t times) { return value * times; }
