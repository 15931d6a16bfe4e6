/* The functions of libane that a loader calls, written from its published interface: a program in a .anec file is opened,
 * fed with packed N, C, H, W arrays, executed and read. */
#define main client_main
#include "client.c"
#undef main

struct nn { int fd; struct anec anec; struct bo bos[TILE_COUNT], btsp; struct drm_ane_submit submit; };

void *__ane_init(const char *path, int device)
{
    struct nn *nn = calloc(1, sizeof *nn);
    FILE *file = fopen(path, "rb");
    char node[64];
    snprintf(node, sizeof node, "/dev/accel/accel%d", device);
    if (!nn || !file || fread(&nn->anec, sizeof nn->anec, 1, file) != 1 || (nn->fd = open(node, O_RDWR)) < 0)
        return NULL;
    for (int i = 0; i < TILE_COUNT; i++)
        if (nn->anec.tiles[i]) {
            bo_init(nn->fd, &nn->bos[i], nn->anec.tiles[i] * TILE_SIZE);
            nn->submit.handles[i] = nn->bos[i].handle;
        }
    check(fseek(file, HEADER_SIZE, SEEK_SET) == 0, "seek");
    check(fread(nn->bos[0].map, 1, nn->anec.size, file) == nn->anec.size, "body");
    fclose(file);
    bo_init(nn->fd, &nn->btsp, TILE_SIZE);
    memcpy(nn->btsp.map, nn->bos[0].map, nn->anec.td_size);
    *(uint32_t *)nn->btsp.map = (*(uint32_t *)nn->btsp.map & 0x0f00ffff) | NID << 16;
    nn->submit.tsk_size = nn->anec.tsk_size;
    nn->submit.td_count = nn->anec.td_count;
    nn->submit.td_size = nn->anec.td_size;
    nn->submit.btsp_handle = nn->btsp.handle;
    return nn;
}

int ane_exec(void *program)
{
    struct nn *nn = program;
    return ioctl(nn->fd, DRM_IOCTL_ANE_SUBMIT, &nn->submit);
}

void __ane_send(void *program, void *packed, uint32_t index)
{
    struct nn *nn = program;
    int buffer = 4 + (int)nn->anec.dst_count + (int)index;
    tile(&nn->anec, buffer, nn->bos[buffer].map, packed, 0);
}

void __ane_read(void *program, void *packed, uint32_t index)
{
    struct nn *nn = program;
    tile(&nn->anec, 4 + (int)index, nn->bos[4 + index].map, packed, 1);
}

void __ane_free(void *program)
{
    struct nn *nn = program;
    close(nn->fd);
    free(nn);
}
