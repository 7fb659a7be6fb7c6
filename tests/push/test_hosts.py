"""Which endpoints are on a known push service."""

import pytest

from config.settings import PUSH_HOSTS
from service.push.hosts import PushHosts

KNOWN = [
    "https://fcm.googleapis.com/fcm/send/dX3kq0:APA91bH_x-y",
    "https://FCM.googleapis.com:443/wp/x",
    "https://jmt17.google.com/fcm/send/x",
    "https://updates.push.services.mozilla.com/wpush/v2/gAAAA-_=",
    "https://web.push.apple.com/QGuQyavXutnMH",
    "https://wns2-par02p.notify.windows.com/w/?token=BQYAAAC%2fx%2b",
]
OTHERS = [
    "http://fcm.googleapis.com/fcm/send/x",
    "https://fcm.googleapis.com:8443/fcm/send/x",
    "https://fcm.googleapis.com@127.0.0.1/",
    "https://127.0.0.1\\@fcm.googleapis.com/",
    "https://127.0.0.1#@fcm.googleapis.com/",
    "https://fcm.googleapis.com/#part",
    "https://fcm.googleapis.com.example.org/",
    "https://fcm.googleapis.com./",
    "https://example.org/fcm.googleapis.com",
    "https://evilpush.apple.com/",
    "https://push.apple.com/",
    "https://.push.apple.com/",
    "https://x..push.apple.com/",
    f"https://{'x' * 64}.push.apple.com/",
    "https://127.0.0.1/",
    "https://[::1]/",
    "https://169.254.169.254/latest/meta-data",
    "https:/fcm.googleapis.com/",
    "//fcm.googleapis.com/",
    " https://fcm.googleapis.com/",
    "https://fcm.googleapis.com/\n",
    "https://fcm.googleapis.com/a b",
    "https://fcm.googleapis.com/ü",
    "https://ｆcm.googleapis.com/",
    "file:///etc/passwd",
    "",
]


@pytest.mark.parametrize("endpoint", KNOWN, ids=range(len(KNOWN)))
def test_endpoints_of_the_vendors_are_known(endpoint: str) -> None:
    assert PushHosts(PUSH_HOSTS).allow(endpoint)


@pytest.mark.parametrize("endpoint", OTHERS, ids=range(len(OTHERS)))
def test_others_are_not(endpoint: str) -> None:
    assert not PushHosts(PUSH_HOSTS).allow(endpoint)


def test_the_operator_names_hosts_and_ports() -> None:
    hosts = PushHosts(["localhost:8443", "*.example.org:444"])
    assert hosts.allow("https://localhost:8443/push/1")
    assert hosts.allow("https://a.b.example.org:444")
    assert not hosts.allow("https://localhost/push/1")
    assert not hosts.allow("https://a.example.org/")
    assert not hosts.allow("https://fcm.googleapis.com/fcm/send/x")
