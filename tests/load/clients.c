/* The clients, on one core: they connect, publish, and measure when messages arrive. Built and driven by clients.py.
 *
 * This file knows no protocol. Requests and WebSocket frames are prepared by Python; only the eight digits that number a
 * message are filled in here. A message has arrived when its digits are received between two '@', whatever surrounds
 * them. So every server meets the same clients, which cost the same few instructions.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define DIGITS 8
#define MARKER (DIGITS + 2)
#define RING (1 << 16)      /* messages in flight; far more than any window */
#define BUCKETS 2048        /* of a histogram: 32 for each doubling, so values are accurate to 3 % */
#define BUFFER (1 << 18)
#define MAX_HEAD (1 << 20) /* bytes within which a connection must become ready */
#define MAX_OFFSETS 4
#define EVENTS 1024
#define KEEPALIVE 15.0      /* seconds; servers close a client that sends nothing for 45 s */
#define PROGRESS 0.25

enum role { LISTENER, UNCOUNTED, CALLER };
enum state { UNUSED, CONNECTING, GREETING, READY };
enum status { DONE, LATE, LOST, STOPPED };

struct connection {
    int fd;
    enum state state;
    enum role role;
    const char *request, *ready, *after; /* owned by Python */
    int request_size, ready_size, after_size;
    char *template;
    int template_size, offsets[MAX_OFFSETS], offset_count;
    char *head;
    int head_size, in_flight, tail_size;
    char tail[MARKER];
    uint64_t began;
    int64_t awaited;   /* the message whose response a CALLER is waiting for */
    int64_t body_left; /* bytes of this response that have not been received */
};

struct message {
    int64_t number;
    uint64_t sent;
    int left, publisher;
};

struct plan {
    int first, count, max_opening;        /* connections to open, and how many at the same time */
    const int *publishers;              /* connections that publish, in turn */
    int publisher_count, window, per_publisher;  /* messages in flight: in all, and of one publisher */
    int expect;                       /* listeners that each message must reach */
    double rate;                      /* messages a second; 0: as soon as the window allows */
    double seconds;                   /* publish (or just listen) for this long, and until all connections are open */
    double limit;                     /* seconds after which missing messages count as lost */
};

struct result {
    int status;
    char error[256];
    double opening, publishing; /* seconds from first connect to last ready, and from first send to last arrival */
    int64_t sent, complete, arrived, duplicates;
    uint64_t latency[BUCKETS], opened[BUCKETS]; /* nanoseconds until a message arrived, and until a connection was ready */
};

struct load {
    int epoll, size, capacity;
    struct sockaddr_in address;
    struct connection *connections;
    struct message *ring;
    int64_t next;
    char *buffer;
    const char *keepalive;
    int keepalive_size;
    /* state of the current run */
    const struct plan *plan;
    struct result *result;
    int opening, ready, in_flight, turn;
    uint64_t first_open, last_ready, first_sent, last_arrival;
};

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void count(uint64_t *histogram, uint64_t value) {
    int bucket = (int)value;
    if (value >= 64) {
        int shift = 63 - __builtin_clzll(value) - 5;
        bucket = shift * 32 + (int)(value >> shift);
    }
    histogram[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
}

static void fail(struct load *load, const char *what, const char *detail, int size) {
    if (load->result->status == DONE) {
        load->result->status = LOST;
        snprintf(load->result->error, sizeof load->result->error, "%s: %.*s", what, size, detail);
    }
}

static void fail_errno(struct load *load, const char *what, int error) {
    const char *text = strerror(error);
    fail(load, what, text, (int)strlen(text));
}

/* Sends everything. The data in flight is bounded, so a full buffer means that the server does not read. */
static int send_all(struct load *load, struct connection *connection, const char *data, int size) {
    while (size > 0) {
        ssize_t sent = send(connection->fd, data, (size_t)size, MSG_NOSIGNAL);
        if (sent < 0 && (errno == EAGAIN || errno == EINTR)) {
            struct pollfd wait = {connection->fd, POLLOUT, 0};
            if (poll(&wait, 1, 5000) == 0) {
                fail(load, "sending", "the server does not read", 24);
                return 0;
            }
            continue;
        }
        if (sent < 0) {
            fail_errno(load, "sending", errno);
            return 0;
        }
        data += sent;
        size -= (int)sent;
    }
    return 1;
}

static void start_connecting(struct load *load, int index) {
    struct connection *connection = &load->connections[index];
    int on = 1;
    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (connection->fd < 0) {
        fail_errno(load, "socket", errno);
        return;
    }
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    connection->state = CONNECTING;
    connection->began = now_ns();
    if (!load->first_open) load->first_open = connection->began;
    if (connect(connection->fd, (struct sockaddr *)&load->address, sizeof load->address) < 0 && errno != EINPROGRESS) {
        fail_errno(load, "connect", errno);
        return;
    }
    struct epoll_event event = {.events = EPOLLOUT, .data.u32 = (uint32_t)index};
    epoll_ctl(load->epoll, EPOLL_CTL_ADD, connection->fd, &event);
    load->opening++;
}

static void become_ready(struct load *load, struct connection *connection) {
    connection->state = READY;
    free(connection->head);
    connection->head = NULL;
    load->last_ready = now_ns();
    count(load->result->opened, load->last_ready - connection->began);
    load->opening--;
    load->ready++;
}

static void connected(struct load *load, int index) {
    struct connection *connection = &load->connections[index];
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error) {
        fail_errno(load, "connect", error);
        return;
    }
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)index};
    epoll_ctl(load->epoll, EPOLL_CTL_MOD, connection->fd, &event);
    connection->state = GREETING;
    send_all(load, connection, connection->request, connection->request_size);
    if (!connection->ready_size) become_ready(load, connection);
}

static void completed(struct load *load, struct message *message, uint64_t now) {
    load->in_flight--;
    load->connections[message->publisher].in_flight--;
    load->result->complete++;
    load->last_arrival = now;
}

static struct message *find(struct load *load, int64_t number) {
    struct message *message = &load->ring[number % RING];
    return message->number == number && message->left > 0 ? message : NULL;
}

static void arrived(struct load *load, int64_t number, uint64_t now) {
    struct message *message = find(load, number);
    if (!message) {
        load->result->duplicates++;
        return;
    }
    load->result->arrived++;
    count(load->result->latency, now - message->sent);
    if (--message->left == 0) completed(load, message, now);
}

static int64_t number_at(const char *digits) {
    int64_t number = 0;
    for (int i = 0; i < DIGITS; i++) {
        if (digits[i] < '0' || digits[i] > '9') return -1;
        number = number * 10 + (digits[i] - '0');
    }
    return number;
}

/* Counts the markers between `at` and `end`. An incomplete marker at the end is kept for the next call. */
static void scan(struct load *load, struct connection *connection, const char *at, const char *end, uint64_t now) {
    connection->tail_size = 0;
    while (at < end && (at = memchr(at, '@', (size_t)(end - at)))) {
        if (end - at < MARKER) {
            connection->tail_size = (int)(end - at);
            memcpy(connection->tail, at, (size_t)(end - at));
            return;
        }
        int64_t number = at[MARKER - 1] == '@' ? number_at(at + 1) : -1;
        if (number >= 0) arrived(load, number, now);
        at += number >= 0 ? MARKER : 1;
    }
}

/* Until a connection is ready everything it received is kept, because the awaited text may arrive in parts. */
static void greet(struct load *load, struct connection *connection, const char *data, int size, uint64_t now) {
    if (connection->head_size + size > MAX_HEAD) {
        fail(load, "connecting", "a long response without the expected text", 41);
        return;
    }
    int had = connection->head_size;
    connection->head = realloc(connection->head, (size_t)(had + size));
    memcpy(connection->head + had, data, (size_t)size);
    connection->head_size += size;
    int refused = connection->head_size > 12 && memcmp(connection->head + 9, "101", 3) && memcmp(connection->head + 9, "200", 3);
    if (refused) {
        fail(load, "refused", connection->head, connection->head_size);
        return;
    }
    if (connection->after_size && memmem(connection->head, (size_t)connection->head_size, "\r\n\r\n", 4) &&
        (!had || !memmem(connection->head, (size_t)had, "\r\n\r\n", 4)))
        send_all(load, connection, connection->after, connection->after_size);
    char *found = memmem(connection->head, (size_t)connection->head_size, connection->ready, (size_t)connection->ready_size);
    if (found) {
        char *rest = found + connection->ready_size, *end = connection->head + connection->head_size;
        if (connection->role == LISTENER) scan(load, connection, rest, end, now);
        become_ready(load, connection);
    }
}

/* The bytes of a response that follow the first `size`, by its Content-Length; 0 if it has none. */
static int64_t body_left(const char *data, int size) {
    static const char name[] = "\r\ncontent-length:";
    const char *end = memmem(data, (size_t)size, "\r\n\r\n", 4);
    for (const char *at = data; end && at < end; at++)
        if (*at == '\r' && !strncasecmp(at, name, sizeof name - 1))
            return strtoll(at + sizeof name - 1, NULL, 10) - (size - (end + 4 - data));
    return 0;
}

static void answered(struct load *load, struct connection *connection, const char *data, int size, uint64_t now) {
    if (connection->body_left > 0) {
        connection->body_left -= size;
    } else {
        if (size < 10 || memcmp(data, "HTTP/1.1 ", 9)) return; /* not the beginning of a response */
        if (data[9] != '2') {
            fail(load, "refused", data, size);
            return;
        }
        connection->body_left = body_left(data, size);
    }
    if (connection->body_left > 0) return;
    if (!load->plan->expect) { /* nobody listens: the response is what arrives */
        arrived(load, connection->awaited, now);
        return;
    }
    struct message *message = find(load, connection->awaited);
    if (message && --message->left == 0) completed(load, message, now);
}

static void readable(struct load *load, struct connection *connection) {
    char *data = load->buffer + MARKER;
    ssize_t size = recv(connection->fd, data, BUFFER, 0);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (size <= 0) {
        char received[128];
        int kept = connection->head_size < 100 ? connection->head_size : 100;
        snprintf(received, sizeof received, "%.*s", kept, connection->head ? connection->head : "");
        fail(load, "the server ended a connection", received, (int)strlen(received));
        return;
    }
    uint64_t now = now_ns();
    if (connection->state == GREETING) {
        greet(load, connection, data, (int)size, now);
    } else if (connection->role == LISTENER) {
        char *begin = data - connection->tail_size;
        memcpy(begin, connection->tail, (size_t)connection->tail_size);
        scan(load, connection, begin, data + size, now);
    } else if (connection->role == CALLER) {
        answered(load, connection, data, (int)size, now);
    }
}

static int publish(struct load *load) {
    const struct plan *plan = load->plan;
    for (int tried = 0; tried < plan->publisher_count; tried++) {
        int publisher = plan->publishers[load->turn++ % plan->publisher_count];
        struct connection *connection = &load->connections[publisher];
        if (connection->state != READY || connection->in_flight >= plan->per_publisher) continue;
        int64_t number = load->next++ % 100000000;
        char digits[16];
        snprintf(digits, sizeof digits, "%08lld", (long long)number);
        for (int i = 0; i < connection->offset_count; i++)
            memcpy(connection->template + connection->offsets[i], digits, DIGITS);
        struct message *message = &load->ring[number % RING];
        message->number = number;
        message->left = plan->expect + (connection->role == CALLER);
        message->publisher = publisher;
        message->sent = now_ns();
        if (!load->first_sent) load->first_sent = message->sent;
        connection->awaited = number;
        connection->in_flight++;
        load->in_flight++;
        load->result->sent++;
        return send_all(load, connection, connection->template, connection->template_size);
    }
    return 0;
}

static void keep_alive(struct load *load) {
    for (int i = 0; load->keepalive_size && i < load->size; i++)
        if (load->connections[i].state == READY && load->connections[i].role != CALLER)
            send_all(load, &load->connections[i], load->keepalive, load->keepalive_size);
}

struct load *load_new(const char *host, int port, int capacity, const char *keepalive, int keepalive_size) {
    struct load *load = calloc(1, sizeof *load);
    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    load->capacity = capacity;
    load->address.sin_family = AF_INET;
    load->address.sin_port = htons((uint16_t)port);
    inet_pton(AF_INET, host, &load->address.sin_addr);
    load->connections = calloc((size_t)capacity, sizeof *load->connections);
    load->ring = calloc(RING, sizeof *load->ring);
    load->buffer = malloc(MARKER + BUFFER);
    load->keepalive = keepalive;
    load->keepalive_size = keepalive_size;
    return load;
}

/* Adds a connection that a run opens, and returns its index, or -1 if there is no room. It sends `request`, sends `after`
 * once the response head has arrived, and is ready when it has received `ready`. */
int load_add(struct load *load, int role, const char *request, int request_size, const char *ready, int ready_size,
             const char *after, int after_size) {
    if (load->size == load->capacity) return -1;
    load->connections[load->size] = (struct connection){.fd = -1, .role = (enum role)role, .request = request,
        .request_size = request_size, .ready = ready, .ready_size = ready_size, .after = after, .after_size = after_size};
    return load->size++;
}

/* Sets what the connection publishes, and the offsets of its digits. */
void load_set_payload(struct load *load, int index, const char *template, int size, const int *offsets, int offset_count) {
    struct connection *connection = &load->connections[index];
    free(connection->template);
    connection->template = malloc((size_t)size);
    memcpy(connection->template, template, (size_t)size);
    connection->template_size = size;
    connection->offset_count = offset_count < MAX_OFFSETS ? offset_count : MAX_OFFSETS;
    memcpy(connection->offsets, offsets, (size_t)connection->offset_count * sizeof *offsets);
}

/* Runs `plan`. `progress(seconds)` is called a few times a second; the run ends if it returns anything but 0. */
void load_run(struct load *load, const struct plan *plan, struct result *result, int (*progress)(double)) {
    struct epoll_event events[EVENTS];
    memset(result, 0, sizeof *result);
    load->plan = plan;
    load->result = result;
    load->opening = load->ready = load->in_flight = load->turn = 0;
    load->first_open = load->last_ready = load->first_sent = load->last_arrival = 0;
    for (int i = 0; i < load->size; i++) load->connections[i].in_flight = 0;
    int opened = 0;
    uint64_t start = now_ns();
    double last_progress = 0, last_keepalive = 0;
    while (result->status == DONE) {
        double now = (double)(now_ns() - start) / 1e9;
        while (opened < plan->count && load->opening < plan->max_opening && result->status == DONE)
            start_connecting(load, plan->first + opened++);
        int over = now >= plan->seconds && load->ready == plan->count;
        if (plan->rate > 0) {
            while (!over && (double)result->sent < now * plan->rate && publish(load)) {}
        } else {
            while (!over && load->in_flight < plan->window && publish(load)) {}
        }
        if (over && load->in_flight == 0) break;
        if (now > plan->limit) result->status = LATE;
        if (now - last_progress >= PROGRESS) {
            last_progress = now;
            if (progress(now)) result->status = STOPPED;
        }
        if (now - last_keepalive >= KEEPALIVE) {
            last_keepalive = now;
            keep_alive(load);
        }
        int wait = 20;
        if (plan->rate > 0 && !over) {
            /* If the next one is overdue, all publishers wait for a response: polling would take the database's core. */
            double next = ((double)result->sent / plan->rate - now) * 1000;
            if (next > 0 && next < wait) wait = (int)next + 1;
        }
        int count = epoll_wait(load->epoll, events, EVENTS, wait);
        for (int i = 0; i < count && result->status == DONE; i++) {
            int index = (int)events[i].data.u32;
            struct connection *connection = &load->connections[index];
            if (connection->state == CONNECTING) connected(load, index);
            else readable(load, connection);
        }
    }
    if (load->last_ready) result->opening = (double)(load->last_ready - load->first_open) / 1e9;
    if (load->last_arrival) result->publishing = (double)(load->last_arrival - load->first_sent) / 1e9;
}

void load_close(struct load *load) {
    /* A reset leaves no TIME_WAIT behind: every round opens thousands of connections. */
    struct linger reset = {1, 0};
    for (int i = 0; i < load->size; i++) {
        struct connection *connection = &load->connections[i];
        if (connection->fd >= 0) {
            setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
            close(connection->fd);
        }
        free(connection->head);
        free(connection->template);
    }
    close(load->epoll);
    free(load->connections);
    free(load->ring);
    free(load->buffer);
    free(load);
}
