/* LD_PRELOAD: a /dev/dma_heap where the kernel has none, backed by memfd. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <linux/dma-buf.h>
#include <linux/dma-heap.h>

static int open_as(const char *name, const char *path, int flags, mode_t mode)
{
    int (*next)(const char *, int, ...) = dlsym(RTLD_NEXT, name);
    if (path && !strncmp(path, "/dev/dma_heap/", 14))
        return memfd_create("dma-heap", MFD_CLOEXEC);
    return next(path, flags, mode);
}

#define OPEN(name)                                                              \
    int name(const char *path, int flags, ...)                                  \
    {                                                                           \
        va_list rest;                                                           \
        va_start(rest, flags);                                                  \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
        va_end(rest);                                                           \
        return open_as(#name, path, flags, mode);                               \
    }
OPEN(open)
OPEN(open64)

int ioctl(int fd, unsigned long request, ...)
{
    int (*next)(int, unsigned long, ...) = dlsym(RTLD_NEXT, "ioctl");
    va_list rest;
    va_start(rest, request);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    if ((unsigned)request == (unsigned)DMA_HEAP_IOCTL_ALLOC) {
        struct dma_heap_allocation_data *asked = argument;
        int buffer = memfd_create("dma-buffer", MFD_CLOEXEC);
        if (buffer >= 0 && ftruncate(buffer, asked->len))
            close(buffer), buffer = -1;
        asked->fd = buffer;
        return buffer < 0 ? -1 : 0;
    }
    int result = next(fd, request, argument);
    /* plain memory needs no DMA_BUF_IOCTL_SYNC, and cannot be named */
    if (result < 0 && _IOC_TYPE(request) == DMA_BUF_BASE && (errno == ENOTTY || errno == ENOSYS))
        return 0;
    return result;
}
