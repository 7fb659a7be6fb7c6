# Loa behind Varnish, with TRUSTED_PROXIES=1 in its environment. Varnish appends to X-Forwarded-For itself.
# With a TLS proxy in front of Varnish: TRUSTED_PROXIES=2, and without the three lines on X-Forwarded-….
vcl 4.1;

backend loa {
    .host = "127.0.0.1";
    .port = "8000";
    # Loa sends a byte at least every 25 s on streams, so a longer silence means a dead connection.
    .first_byte_timeout = 60s;
    .between_bytes_timeout = 60s;
}

sub vcl_recv {
    # What the client sent of these is not passed on.
    set req.http.X-Forwarded-Proto = "http";
    unset req.http.X-Forwarded-Host;
    unset req.http.X-Forwarded-Port;
    # The operator's pages are not for everybody.
    if (req.url ~ "^/(metrics|status)($|[/?])") {
        return (synth(403));
    }
    if (req.http.Upgrade ~ "(?i)websocket") {
        return (pipe);
    }
    # The API is never cached; the app and the client library have validators of their own.
    if (req.url ~ "^/api/") {
        return (pass);
    }
}

sub vcl_pipe {
    if (req.http.Upgrade) {
        set bereq.http.Upgrade = req.http.Upgrade;
        set bereq.http.Connection = req.http.Connection;
    }
}
