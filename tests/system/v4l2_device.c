/* LD_PRELOAD: /dev/video9 is a USB camera with exposure, gain and white balance, as far as OpenCV asks.
 *
 * Streams YUYV, 640x480 or 1280x960, whose clear field has grey level 165 at 4 ms and gain 10; columns get
 * darker to the right by 20 %. If MJPG_FRAME names a JPEG of 1280x960, that size exists as MJPG only, and
 * each such frame is this JPEG. A control shows in the frames three frames later. FRAMES_UNTIL_STALL and
 * FRAMES_UNTIL_UNPLUGGED end it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <time.h>
#include <unistd.h>
#include <linux/videodev2.h>

enum { BUFFERS = 8, LAG = 3, LARGEST = 2 * 1280 * 960 };

static int device = -1, width = 640, height = 480, streaming, frames, mjpg;
static uint8_t *memory;
static int queue[BUFFERS], queued;
static struct control { uint32_t id; int low, high, value; } controls[] = {
    {V4L2_CID_EXPOSURE_AUTO, 0, 3, V4L2_EXPOSURE_APERTURE_PRIORITY},
    {V4L2_CID_EXPOSURE_ABSOLUTE, 1, 2000, 3},
    {V4L2_CID_GAIN, 0, 100, 10},
    {V4L2_CID_AUTO_WHITE_BALANCE, 0, 1, 1},
    {V4L2_CID_WHITE_BALANCE_TEMPERATURE, 2800, 6500, 4600},
};
static double light[LAG + 1]; /* as the sensor was set, the latest first */

static struct control *find(uint32_t id)
{
    for (unsigned k = 0; k < sizeof controls / sizeof *controls; k++)
        if (controls[k].id == id)
            return &controls[k];
    return NULL;
}

/* A JPEG of one grey level, 165: its blocks have a first coefficient and no other. */
static int plain(uint8_t *frame)
{
    uint8_t *p = frame;
    const uint8_t sizes[] = {0xff, 0xc0, 0, 11, 8, height >> 8, height, width >> 8, width, 1, 1, 0x11, 0};
    memcpy(p, "\xff\xd8\xff\xdb\0\103\0", 7);
    p = (uint8_t *)memset(p + 7, 8, 64) + 64;
    p = (uint8_t *)memcpy(p, sizes, sizeof sizes) + sizeof sizes;
    p = (uint8_t *)memcpy(p, "\xff\xda\0\10\1\1\0\0\77\0", 10) + 10;
    uint32_t bits = 0xe << 6 | (165 - 128), count = 10; /* 37 above the middle, in the usual code */
    for (int block = 0; block < (width + 7) / 8 * ((height + 7) / 8); block++) {
        int same = block > 0;
        bits = bits << (same ? 6 : 4) | 10; /* no difference, no other coefficient */
        count += same ? 6 : 4;
        for (; count >= 8; count -= 8)
            *p++ = bits >> (count - 8); /* never 0xff */
    }
    *p++ = bits << (8 - count) | 0xff >> count;
    memcpy(p, "\xff\xd9", 2);
    return p + 2 - frame;
}

/* Put the frame that MJPG_FRAME names there, or a plain one, and return its size. */
static int stored(uint8_t *frame)
{
    const char *name = getenv("MJPG_FRAME");
    FILE *file = name ? fopen(name, "rb") : NULL;
    int bytes = file ? (int)fread(frame, 1, LARGEST, file) : plain(frame);
    if (file)
        fclose(file);
    return bytes;
}

static int until(const char *name)
{
    const char *number = getenv(name);
    return number && frames >= atoi(number);
}

static int fail(int reason)
{
    errno = reason;
    return -1;
}

static void expose(uint8_t *row)
{
    memmove(light + 1, light, sizeof *light * LAG);
    light[0] = 165.0 * find(V4L2_CID_EXPOSURE_ABSOLUTE)->value / 40 * find(V4L2_CID_GAIN)->value / 10;
    if (!frames)
        for (int k = 1; k <= LAG; k++)
            light[k] = light[0];
    for (int y = 0; y < height; y++, row += 2 * width)
        for (int x = 0; x < width; x++) {
            double grey = light[LAG] * (1 - 0.2 * x / width);
            row[2 * x] = 16 + (grey > 255 ? 255 : grey) * 219 / 255; /* video range */
            row[2 * x + 1] = 128;
        }
    frames++;
}

static int answer(unsigned request, void *argument)
{
    switch (request) {
    case VIDIOC_QUERYCAP: {
        struct v4l2_capability *c = argument;
        memset(c, 0, sizeof *c);
        strcpy((char *)c->driver, "uvcvideo");
        strcpy((char *)c->card, "Pretended Camera");
        c->device_caps = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
        c->capabilities = c->device_caps | V4L2_CAP_DEVICE_CAPS;
        return 0;
    }
    case VIDIOC_S_FMT:
    case VIDIOC_G_FMT: {
        struct v4l2_pix_format *p = &((struct v4l2_format *)argument)->fmt.pix;
        if (request == VIDIOC_S_FMT) {
            mjpg = getenv("MJPG_FRAME") && p->pixelformat == V4L2_PIX_FMT_MJPEG;
            width = p->width > 960 && (mjpg || !getenv("MJPG_FRAME")) ? 1280 : 640;
            height = width * 3 / 4;
        }
        p->width = width;
        p->height = height;
        p->pixelformat = mjpg ? V4L2_PIX_FMT_MJPEG : V4L2_PIX_FMT_YUYV;
        p->bytesperline = 2 * width;
        p->sizeimage = 2 * width * height;
        p->field = V4L2_FIELD_NONE;
        return 0;
    }
    case VIDIOC_ENUM_FMT: {
        struct v4l2_fmtdesc *f = argument;
        if (f->index > (getenv("MJPG_FRAME") != NULL))
            return fail(EINVAL);
        f->pixelformat = f->index ? V4L2_PIX_FMT_MJPEG : V4L2_PIX_FMT_YUYV;
        return 0;
    }
    case VIDIOC_ENUM_FRAMESIZES: {
        struct v4l2_frmsizeenum *f = argument;
        int large = f->pixel_format == V4L2_PIX_FMT_MJPEG || !getenv("MJPG_FRAME");
        if ((int)f->index > large)
            return fail(EINVAL);
        f->type = V4L2_FRMSIZE_TYPE_DISCRETE;
        f->discrete.width = f->index ? 1280 : 640;
        f->discrete.height = f->index ? 960 : 480;
        return 0;
    }
    case VIDIOC_S_PARM:
    case VIDIOC_G_PARM: {
        struct v4l2_captureparm *c = &((struct v4l2_streamparm *)argument)->parm.capture;
        c->timeperframe.numerator = 1;
        c->timeperframe.denominator = 30;
        return 0;
    }
    case VIDIOC_REQBUFS: {
        struct v4l2_requestbuffers *r = argument;
        r->count = r->count > BUFFERS ? BUFFERS : r->count;
        queued = 0;
        return 0;
    }
    case VIDIOC_QUERYBUF: {
        struct v4l2_buffer *b = argument;
        b->length = 2 * width * height;
        b->m.offset = b->index * LARGEST;
        return 0;
    }
    case VIDIOC_QBUF:
        queue[queued++] = ((struct v4l2_buffer *)argument)->index;
        return 0;
    case VIDIOC_DQBUF: {
        struct v4l2_buffer *b = argument;
        if (until("FRAMES_UNTIL_UNPLUGGED"))
            return fail(ENODEV);
        if (!streaming || !queued || until("FRAMES_UNTIL_STALL"))
            return fail(EAGAIN);
        b->index = queue[0];
        memmove(queue, queue + 1, sizeof *queue * --queued);
        b->length = b->bytesused = 2 * width * height;
        if (mjpg)
            b->bytesused = stored(memory + b->index * LARGEST);
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        b->timestamp.tv_sec = now.tv_sec;
        b->timestamp.tv_usec = now.tv_nsec / 1000;
        if (mjpg)
            frames++;
        else
            expose(memory + b->index * LARGEST);
        return 0;
    }
    case VIDIOC_STREAMON:
    case VIDIOC_STREAMOFF:
        streaming = request == VIDIOC_STREAMON;
        return 0;
    case VIDIOC_QUERYCTRL: {
        struct v4l2_queryctrl *q = argument;
        struct control *c = find(q->id);
        if (!c)
            return fail(EINVAL);
        q->minimum = c->low;
        q->maximum = c->high;
        return 0;
    }
    case VIDIOC_G_CTRL:
    case VIDIOC_S_CTRL: {
        struct v4l2_control *v = argument;
        struct control *c = find(v->id);
        if (!c)
            return fail(EINVAL);
        if (request == VIDIOC_S_CTRL) {
            if (c->id == V4L2_CID_EXPOSURE_ABSOLUTE && find(V4L2_CID_EXPOSURE_AUTO)->value != V4L2_EXPOSURE_MANUAL)
                return fail(EACCES);
            c->value = v->value < c->low ? c->low : v->value > c->high ? c->high : v->value;
        }
        v->value = c->value;
        return 0;
    }
    }
    return fail(ENOTTY);
}

static int open_as(const char *name, const char *path, int flags, mode_t mode)
{
    int (*next)(const char *, int, ...) = dlsym(RTLD_NEXT, name);
    size_t length = path ? strlen(path) : 0;
    if (length < 7 || strcmp(path + length - 7, "/video9"))
        return next(path, flags, mode);
    device = memfd_create("video9", MFD_CLOEXEC);
    if (device < 0 || ftruncate(device, BUFFERS * LARGEST))
        return -1;
    memory = mmap(NULL, BUFFERS * LARGEST, PROT_READ | PROT_WRITE, MAP_SHARED, device, 0);
    frames = 0;
    return memory == MAP_FAILED ? -1 : device;
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

int close(int fd)
{
    int (*next)(int) = dlsym(RTLD_NEXT, "close");
    device = fd == device ? -1 : device;
    return next(fd);
}

int ioctl(int fd, unsigned long request, ...)
{
    int (*next)(int, unsigned long, ...) = dlsym(RTLD_NEXT, "ioctl");
    va_list rest;
    va_start(rest, request);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    return fd >= 0 && fd == device ? answer(request, argument) : next(fd, request, argument);
}

int select(int count, fd_set *read, fd_set *write, fd_set *except, struct timeval *timeout)
{
    int (*next)(int, fd_set *, fd_set *, fd_set *, struct timeval *) = dlsym(RTLD_NEXT, "select");
    if (count == device + 1 && read && FD_ISSET(device, read) && until("FRAMES_UNTIL_STALL"))
        return next(0, NULL, NULL, NULL, timeout);
    return next(count, read, write, except, timeout);
}
