/* An epoll server that makes one send() for each delivery and does nothing else: the upper limit for that method.
 * Run by `loop <port>`.
 *
 * A message from a WebSocket is sent to every WebSocket; a posted body is sent to every event stream. Nothing is checked,
 * requests are assumed to arrive in one read, and the server waits for a receiver whose buffer is full.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_FDS 65536
#define BUFFER_SIZE 65536

enum kind { NEW, SOCKET, STREAM };

static enum kind kinds[MAX_FDS];
static int receivers[MAX_FDS], positions[MAX_FDS], receiver_count;

static const char UPGRADED[] =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"; /* for the key of RFC 6455's example */
static const char STREAMING[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
static const char POSTED[] = "HTTP/1.1 204 No Content\r\n\r\n";

static void send_all(int fd, const char *data, size_t size) {
    while (size > 0) {
        ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) {
            struct pollfd wait = {fd, POLLOUT, 0};
            poll(&wait, 1, 1000);
        } else if (sent < 0) {
            return;
        } else {
            data += sent;
            size -= (size_t)sent;
        }
    }
}

static void deliver(enum kind kind, const char *data, size_t size) {
    for (int i = 0; i < receiver_count; i++)
        if (kinds[receivers[i]] == kind) send_all(receivers[i], data, size);
}

static void join(int fd, enum kind kind) {
    kinds[fd] = kind;
    positions[fd] = receiver_count;
    receivers[receiver_count++] = fd;
}

static void leave(int fd) {
    if (kinds[fd] != NEW) {
        int last = receivers[--receiver_count];
        receivers[positions[fd]] = last;
        positions[last] = positions[fd];
    }
    kinds[fd] = NEW;
    close(fd);
}

/* Forwards the text frames in `data`, unmasked; each is shorter than 64 KiB. Returns the bytes consumed. */
static size_t on_frames(char *data, size_t size) {
    size_t at = 0;
    while (size - at >= 6) {
        unsigned char *head = (unsigned char *)data + at;
        size_t length = head[1] & 0x7f, skip = 2;
        if (length == 126) {
            length = (size_t)(head[2] << 8 | head[3]);
            skip = 4;
        }
        if (size - at < skip + 4 + length) break;
        char frame[4 + 65536];
        for (size_t i = 0; i < length; i++) frame[skip + i] = (char)(head[skip + 4 + i] ^ head[skip + i % 4]);
        frame[0] = (char)head[0];
        frame[1] = (char)(head[1] & 0x7f);
        if (skip == 4) memcpy(frame + 2, head + 2, 2);
        if ((head[0] & 0x0f) == 1) deliver(SOCKET, frame, skip + length);
        at += skip + 4 + length;
    }
    return at;
}

static void on_request(int fd, char *data, size_t size) {
    char *body = memmem(data, size, "\r\n\r\n", 4);
    if (!body) return;
    body += 4;
    if (memmem(data, size, "Upgrade: websocket", 18)) {
        join(fd, SOCKET);
        send_all(fd, UPGRADED, sizeof UPGRADED - 1);
    } else if (!memcmp(data, "POST", 4)) {
        char event[BUFFER_SIZE + 16];
        int length = snprintf(event, sizeof event, "data: %.*s\n\n", (int)(data + size - body), body);
        deliver(STREAM, event, (size_t)length);
        send_all(fd, POSTED, sizeof POSTED - 1);
    } else {
        join(fd, STREAM);
        send_all(fd, STREAMING, sizeof STREAMING - 1);
    }
}

int main(int count, char **arguments) {
    static char buffer[BUFFER_SIZE], rest[MAX_FDS][1024];
    static size_t kept[MAX_FDS];
    int on = 1, listener = socket(AF_INET, SOCK_STREAM, 0), loop = epoll_create1(0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    address.sin_port = htons((uint16_t)(count > 1 ? atoi(arguments[1]) : 0));
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 1024)) {
        perror("listen");
        return 1;
    }
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[256];
    epoll_ctl(loop, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int ready = epoll_wait(loop, events, 256, -1);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
                if (fd < 0 || fd >= MAX_FDS) continue;
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
                kept[fd] = 0;
                event = (struct epoll_event){.events = EPOLLIN, .data.fd = fd};
                epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event);
                continue;
            }
            memcpy(buffer, rest[fd], kept[fd]);
            ssize_t size = recv(fd, buffer + kept[fd], BUFFER_SIZE - kept[fd], 0);
            if (size <= 0) {
                if (size == 0 || errno != EAGAIN) leave(fd);
                continue;
            }
            size_t whole = kept[fd] + (size_t)size;
            kept[fd] = 0;
            if (kinds[fd] == NEW) {
                on_request(fd, buffer, whole);
            } else if (kinds[fd] == SOCKET) {
                size_t used = on_frames(buffer, whole);
                if (whole - used <= sizeof rest[fd]) {
                    kept[fd] = whole - used;
                    memcpy(rest[fd], buffer + used, kept[fd]);
                }
            }
        }
    }
}
