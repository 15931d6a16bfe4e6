/* A program for the Linux "ane" driver, written from its published interface and knowing nothing of openane:
 *
 *     client PROGRAM.anec OUTPUT INPUT...
 *
 * Inputs and output are packed NCHW fp16. The structure of the work is libane's: read the header, copy the body to
 * the command buffer, make a buffer per tile count, tile the inputs, submit, untile the output.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define TILE_COUNT 32
#define TILE_SIZE 0x4000ull
#define HEADER_SIZE 0x1000
#define NID 0x40u

struct drm_ane_bo_init { uint32_t handle, pad; uint64_t size, offset; };
struct drm_ane_bo_free { uint32_t handle, pad; };
struct drm_ane_submit {
    uint64_t tsk_size;
    uint32_t td_count, td_size, handles[TILE_COUNT], btsp_handle, pad;
};
#define DRM_IOCTL_ANE_BO_INIT 0xc0186441u
#define DRM_IOCTL_ANE_BO_FREE 0xc0086442u
#define DRM_IOCTL_ANE_SUBMIT 0xc0986443u
#define DRM_IOCTL_VERSION 0xc0406400u

struct drm_version {
    int major, minor, patch;
    size_t name_len; char *name;
    size_t date_len; char *date;
    size_t desc_len; char *desc;
};

struct __attribute__((packed)) anec {
    uint64_t size; uint32_t td_size, td_count; uint64_t tsk_size, krn_size; uint32_t src_count, dst_count;
    uint32_t tiles[TILE_COUNT]; uint64_t nchw[TILE_COUNT][6];
};

struct bo { void *map; uint64_t size, offset; uint32_t handle; };

static void check(int ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "%s: %s\n", what, strerror(errno));
        exit(1);
    }
}

static void bo_init(int fd, struct bo *bo, uint64_t size)
{
    struct drm_ane_bo_init args = {.size = size};
    check(ioctl(fd, DRM_IOCTL_ANE_BO_INIT, &args) == 0, "BO_INIT");
    bo->map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)args.offset);
    check(bo->map != MAP_FAILED, "mmap");
    bo->size = size;
    bo->offset = args.offset;
    bo->handle = args.handle;
}

static void tile(const struct anec *anec, int index, uint8_t *tiled, uint8_t *packed, int back)
{
    const uint64_t *d = anec->nchw[index];
    uint64_t row_bytes = 2 * d[3];
    for (uint64_t n = 0; n < d[0]; n++)
        for (uint64_t c = 0; c < d[1]; c++)
            for (uint64_t h = 0; h < d[2]; h++) {
                uint8_t *in_surface = tiled + (n * d[1] + c) * d[4] + h * d[5];
                uint8_t *in_array = packed + ((n * d[1] + c) * d[2] + h) * row_bytes;
                memcpy(back ? in_array : in_surface, back ? in_surface : in_array, row_bytes);
            }
}

int main(int argc, char **argv)
{
    char name[16] = {0};
    struct drm_version version = {.name_len = sizeof name - 1, .name = name};
    struct drm_ane_submit submit = {0};
    struct bo bos[TILE_COUNT] = {0}, btsp;
    struct anec anec;
    FILE *file;
    int fd;

    check(argc >= 3 && (file = fopen(argv[1], "rb")) != NULL, "program");
    check(fread(&anec, sizeof anec, 1, file) == 1, "header");
    fd = open("/dev/accel/accel0", O_RDWR | O_CLOEXEC);
    check(fd >= 0, "open");
    check(ioctl(fd, DRM_IOCTL_VERSION, &version) == 0, "VERSION");
    check(strcmp(name, "ane") == 0, "driver name");

    for (int i = 0; i < TILE_COUNT; i++)
        if (anec.tiles[i]) {
            bo_init(fd, &bos[i], anec.tiles[i] * TILE_SIZE);
            submit.handles[i] = bos[i].handle;
        }
    check(fseek(file, HEADER_SIZE, SEEK_SET) == 0, "seek");
    check(fread(bos[0].map, 1, anec.size, file) == anec.size, "body");
    bo_init(fd, &btsp, TILE_SIZE);
    memcpy(btsp.map, bos[0].map, anec.td_size);
    *(uint32_t *)btsp.map = (*(uint32_t *)btsp.map & 0x0f00ffff) | NID << 16;

    for (uint32_t i = 0; i < anec.src_count; i++) {
        int index = 4 + (int)anec.dst_count + (int)i;
        uint8_t *packed = calloc(1, bos[index].size);
        FILE *input = fopen(argv[3 + i], "rb");
        check(packed && input, argv[3 + i]);
        check(fread(packed, 1, bos[index].size, input) > 0, "input");
        tile(&anec, index, bos[index].map, packed, 0);
        fclose(input);
        free(packed);
    }
    submit.tsk_size = anec.tsk_size;
    submit.td_count = anec.td_count;
    submit.td_size = anec.td_size;
    submit.btsp_handle = btsp.handle;
    check(ioctl(fd, DRM_IOCTL_ANE_SUBMIT, &submit) == 0, "SUBMIT");

    uint64_t *d = anec.nchw[4], bytes = 2 * d[0] * d[1] * d[2] * d[3];
    uint8_t *packed = calloc(1, bytes);
    tile(&anec, 4, bos[4].map, packed, 1);
    FILE *output = fopen(argv[2], "wb");
    check(output && fwrite(packed, 1, bytes, output) == bytes, argv[2]);
    fclose(output);

    for (int i = 0; i < TILE_COUNT; i++)
        if (bos[i].handle) {
            struct drm_ane_bo_free args = {.handle = bos[i].handle};
            munmap(bos[i].map, bos[i].size);
            check(ioctl(fd, DRM_IOCTL_ANE_BO_FREE, &args) == 0, "BO_FREE");
        }
    /* The bootstrap buffer is left to the kernel on purpose, as a careless program would. */
    close(fd);
    return 0;
}
