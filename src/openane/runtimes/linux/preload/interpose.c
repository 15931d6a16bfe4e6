/* Lets programs written for the Linux "ane" driver run without hardware.
 *
 * Loaded with LD_PRELOAD. Opening the device node gives a connection to a server that emulates the driver; the
 * connection is an ordinary file descriptor, so close, dup and fork keep their meaning and the server sees the end.
 * ioctl and mmap on such a descriptor are carried over; everything else goes to the C library untouched. Nothing is
 * remembered here: whether a descriptor is one of ours is asked of the kernel (getpeername) each time.
 *
 * Environment: OPENANE_ANE_NODE is the path that counts as the node, OPENANE_ANE_SOCKET the server.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>
#include <unistd.h>

#define LARGEST_ARGUMENT 512
#define DRM_VERSION 0xc0406400u
#define MAP_REQUEST 0u

struct message {
    uint32_t request; /* in: ioctl number, or MAP_REQUEST; out: errno, 0 when the call succeeded */
    uint32_t size;    /* bytes of `argument` that count */
    unsigned char argument[LARGEST_ARGUMENT];
};

struct drm_version {
    int major, minor, patch;
    size_t name_size;
    char *name;
    size_t date_size;
    char *date;
    size_t description_size;
    char *description;
};

struct version_reply { /* what the server sends for DRM_VERSION; texts end with a zero byte */
    int32_t numbers[3];
    char name[32], date[32], description[64];
};

struct map_request {
    uint64_t offset, size;
};

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int is_node(const char *path)
{
    const char *node = getenv("OPENANE_ANE_NODE");
    return path && node && strcmp(path, node) == 0;
}

static int is_ours(int file)
{
    const char *server = getenv("OPENANE_ANE_SOCKET");
    struct sockaddr_un peer;
    socklen_t size = sizeof peer;
    int keep = errno, ours;

    if (!server || file < 0)
        return 0;
    memset(&peer, 0, sizeof peer);
    ours = getpeername(file, (struct sockaddr *)&peer, &size) == 0 && peer.sun_family == AF_UNIX &&
           strncmp(peer.sun_path, server, sizeof peer.sun_path) == 0;
    errno = keep;
    return ours;
}

static int open_node(int flags)
{
    struct sockaddr_un server = {.sun_family = AF_UNIX};
    const char *path = getenv("OPENANE_ANE_SOCKET");
    int file;

    if (!path || strlen(path) >= sizeof server.sun_path) {
        errno = ENODEV;
        return -1;
    }
    strcpy(server.sun_path, path);
    file = socket(AF_UNIX, SOCK_SEQPACKET | (flags & O_CLOEXEC ? SOCK_CLOEXEC : 0), 0);
    if (file < 0)
        return -1;
    if (connect(file, (struct sockaddr *)&server, sizeof server) < 0) {
        close(file);
        errno = ENODEV;
        return -1;
    }
    return file;
}

/* One request and its answer. Returns 0, or -1 with errno set. `passed` receives a descriptor, -1 if none came. */
static int call_server(int file, struct message *message, int *passed)
{
    char control[CMSG_SPACE(sizeof(int))];
    struct iovec vector = {message, offsetof(struct message, argument) + message->size};
    struct msghdr header = {.msg_iov = &vector, .msg_iovlen = 1};
    struct cmsghdr *ancillary;
    ssize_t received = -1;

    *passed = -1;
    pthread_mutex_lock(&turn);
    while (sendmsg(file, &header, MSG_NOSIGNAL) < 0)
        if (errno != EINTR)
            goto gone;
    vector.iov_len = sizeof *message;
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    while ((received = recvmsg(file, &header, MSG_CMSG_CLOEXEC)) < 0)
        if (errno != EINTR)
            goto gone;
gone:
    pthread_mutex_unlock(&turn);
    if (received < (ssize_t)offsetof(struct message, argument)) {
        errno = ENODEV;
        return -1;
    }
    ancillary = CMSG_FIRSTHDR(&header);
    if (ancillary && ancillary->cmsg_type == SCM_RIGHTS)
        memcpy(passed, CMSG_DATA(ancillary), sizeof *passed);
    if (message->request) {
        errno = (int)message->request;
        return -1;
    }
    return 0;
}

static void give_text(char *to, size_t *room, const char *text)
{
    size_t size = strlen(text);

    if (to)
        memcpy(to, text, size < *room ? size : *room);
    *room = size;
}

static int ask_version(int file, struct drm_version *version)
{
    struct message message = {.request = DRM_VERSION};
    struct version_reply reply;
    int passed;

    if (call_server(file, &message, &passed) < 0)
        return -1;
    memcpy(&reply, message.argument, sizeof reply);
    version->major = reply.numbers[0];
    version->minor = reply.numbers[1];
    version->patch = reply.numbers[2];
    give_text(version->name, &version->name_size, reply.name);
    give_text(version->date, &version->date_size, reply.date);
    give_text(version->description, &version->description_size, reply.description);
    return 0;
}

int ioctl(int file, unsigned long request, ...)
{
    struct message message;
    va_list arguments;
    void *argument;
    int passed;

    va_start(arguments, request);
    argument = va_arg(arguments, void *);
    va_end(arguments);
    if (!is_ours(file))
        return NEXT(ioctl)(file, request, argument);
    message.request = (uint32_t)request;
    message.size = _IOC_SIZE(message.request);
    if (message.size > LARGEST_ARGUMENT || _IOC_TYPE(message.request) != 'd') {
        errno = ENOTTY;
        return -1;
    }
    if (!argument) {
        errno = EFAULT;
        return -1;
    }
    if (message.request == DRM_VERSION)
        return ask_version(file, argument);
    memcpy(message.argument, argument, message.size);
    if (call_server(file, &message, &passed) < 0)
        return -1;
    memcpy(argument, message.argument, _IOC_SIZE(request));
    return 0;
}

static void *map_buffer(void *address, size_t size, int protection, int flags, int file, off_t offset)
{
    struct message message = {.request = MAP_REQUEST, .size = sizeof(struct map_request)};
    struct map_request request = {(uint64_t)offset, size};
    void *mapped;
    int passed;

    memcpy(message.argument, &request, sizeof request);
    if (call_server(file, &message, &passed) < 0)
        return MAP_FAILED;
    mapped = NEXT(mmap)(address, size, protection, flags, passed, 0);
    close(passed);
    return mapped;
}

void *mmap(void *address, size_t size, int protection, int flags, int file, off_t offset)
{
    if (is_ours(file))
        return map_buffer(address, size, protection, flags, file, offset);
    return NEXT(mmap)(address, size, protection, flags, file, offset);
}

void *mmap64(void *address, size_t size, int protection, int flags, int file, off64_t offset)
{
    if (is_ours(file))
        return map_buffer(address, size, protection, flags, file, offset);
    return NEXT(mmap64)(address, size, protection, flags, file, offset);
}

static mode_t creation_mode(int flags, va_list arguments)
{
    int creates = (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;

    return creates ? va_arg(arguments, mode_t) : 0;
}

#define OPEN(name)                                         \
    int name(const char *path, int flags, ...)             \
    {                                                      \
        va_list arguments;                                 \
        mode_t mode;                                       \
                                                           \
        va_start(arguments, flags);                        \
        mode = creation_mode(flags, arguments);            \
        va_end(arguments);                                 \
        if (is_node(path))                                 \
            return open_node(flags);                       \
        return NEXT(name)(path, flags, mode);              \
    }

#define OPEN_AT(name)                                           \
    int name(int folder, const char *path, int flags, ...)      \
    {                                                           \
        va_list arguments;                                      \
        mode_t mode;                                            \
                                                                \
        va_start(arguments, flags);                             \
        mode = creation_mode(flags, arguments);                 \
        va_end(arguments);                                      \
        if (is_node(path))                                      \
            return open_node(flags);                            \
        return NEXT(name)(folder, path, flags, mode);           \
    }

OPEN(open)
OPEN(open64)
OPEN_AT(openat)
OPEN_AT(openat64)

/* What open becomes in programs that are compiled with _FORTIFY_SOURCE. */
int __open_2(const char *path, int flags)
{
    return is_node(path) ? open_node(flags) : NEXT(open)(path, flags);
}

int __open64_2(const char *path, int flags)
{
    return is_node(path) ? open_node(flags) : NEXT(open64)(path, flags);
}

int access(const char *path, int mode)
{
    return is_node(path) ? 0 : NEXT(access)(path, mode);
}
