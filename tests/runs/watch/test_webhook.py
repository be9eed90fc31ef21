"""Webhooks: each alert arrives once and in order; a webhook that fails costs nothing but its alerts."""

import socket
import threading
import time
from contextlib import suppress

import pytest

from runs.watch.webhook import Webhook, hidden, target_of
from scorenet import ConfigError
from tests.runs.watch.hooks import hook


def post(found, *numbers, said=None, **options):
    said = [] if said is None else said
    options = {"timeout": 0.2, "pauses": (0.0, 0.0)} | options
    webhook = Webhook(target_of(found.url), said.append, **options)
    for number in numbers:
        webhook.post({"event": number})
    return webhook


def test_alerts_arrive_in_order_at_the_secret_path():
    with hook() as found:
        post(found, 1, 2, 3).close()
        assert found.events() == [1, 2, 3]
        assert {path for path, _ in found.posted} == {"/services/SECRET?token=SECRET"}


@pytest.mark.parametrize(
    ("codes", "attempts", "sent", "told"),
    [
        ((500, 503, 204), 3, 1, None),
        ((429, 204), 2, 1, None),
        ((500,), 3, 0, "it answered HTTP 500"),
        ((404,), 1, 0, "it answered HTTP 404"),
        ((302,), 1, 0, "it answered HTTP 302"),
        ((None,), 3, 0, "timed out"),
    ],
)
def test_attempts_are_bounded_and_what_may_help_is_tried_again(codes, attempts, sent, told):
    said = []
    with hook(*codes) as found:
        webhook = post(found, 1, said=said)
        webhook.close()
        assert (len(found.posted), webhook.sent, webhook.failed) == (attempts, sent, 1 - sent)
    assert len(said) == (told is not None)
    assert all(told in text and "trading goes on" in text and "SECRET" not in text for text in said)


def test_a_dead_webhook_is_said_once_and_so_is_its_recovery():
    said = []
    with hook(404, 404, 204) as found:
        post(found, 1, 2, 3, 4, said=said).close()
    assert [text.split(": ", 1)[1].split(";")[0] for text in said] == ["it answered HTTP 404", "works again"]
    assert all("127.0.0.1" in text for text in said)


def test_nobody_listening_is_a_failure_like_others():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/SECRET"
    said = []
    webhook = Webhook(target_of(url), said.append, pauses=(0.0, 0.0))
    webhook.post({"event": 1})
    webhook.close()
    assert webhook.failed == 1
    assert "refused" in said[0]


@pytest.mark.parametrize(("begin", "failed"), [(b"", 1), (b"HTTP/1.1 200 OK\r\nX: ", 0)])
def test_an_answer_that_comes_byte_by_byte_does_not_make_an_attempt_longer(begin, failed):
    ended = threading.Event()

    def answer(listener):
        with suppress(OSError):
            for _ in range(3):
                channel, _ = listener.accept()
                threading.Thread(target=drip, args=(channel,), daemon=True).start()

    def drip(channel):
        with channel, suppress(OSError):
            channel.sendall(begin)
            while not ended.wait(0.02):
                channel.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, args=(listener,), daemon=True)
        thread.start()
        said = []
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/x"
        webhook = Webhook(target_of(url), said.append, timeout=0.2, pauses=(0.0, 0.0))
        webhook.post({"event": 1})
        webhook.close(5.0)
        assert (webhook.failed, webhook.sent) == (failed, 1 - failed)
        assert len(said) == failed
        ended.set()


def test_a_hanging_webhook_holds_up_neither_posts_nor_the_end_and_the_newest_alerts_are_kept():
    said = []
    with hook(None) as found:
        webhook = post(found, 0, said=said, timeout=20.0, capacity=3)
        found.wait_for(1)
        begun = time.monotonic()
        for number in range(1, 1001):
            webhook.post({"event": number})
        webhook.close(0.05)
        assert time.monotonic() - begun < 5.0
        assert webhook.dropped == 997
        found.codes = [204]
        found.ended.set()
        found.wait_for(5)
        assert found.events()[-3:] == [998, 999, 1000]
    assert said[0] == "webhook 127.0.0.1: alerts were not delivered before the end"


@pytest.mark.parametrize(
    "url",
    [
        "hooks.example.com/SECRET",
        "ftp://example.com/SECRET",
        "https://",
        "https://user:SECRET@example.com/",
        "https://example.com/SECRET\r\nX: y",
        "https://example.com/SECRET path",
        "https://ex\u00e4mple.com/SECRET",
        "https://example.com:port/SECRET",
        "http://[::1/SECRET",
        "http://example.com/SECRET",
        "http://8.8.8.8/SECRET",
    ],
)
def test_other_urls_are_refused_without_being_shown(url):
    with pytest.raises(ConfigError) as caught:
        target_of(url)
    assert "SECRET" not in str(caught.value)
    assert "https://" in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/a",
        "http://localhost:1/a",
        "http://10.0.0.7/a",
        "http://[::1]:8/a",
        "http://alerts/a",
    ],
)
def test_tls_or_a_private_network_is_accepted(url):
    found = target_of(url)
    assert found.tls == url.startswith("https")
    assert "/a" not in repr(found)


def test_a_private_name_that_leads_elsewhere_gets_nothing(monkeypatch):
    with hook() as found:
        said = []
        monkeypatch.setattr("runs.watch.webhook._is_private", lambda address: address != "127.0.0.1")
        post(found, 1, said=said).close()
        assert found.posted == []
        assert "leads out of the private network" in said[0]


def test_a_command_is_kept_without_the_urls_in_it():
    url = "https://hooks.example.com/services/SECRET"
    words = ["scorenet", "live", "--notify", url, f"--notify={url}", "--out", "x"]
    shown = "https://hooks.example.com/..."
    assert hidden(words, [url, ""]) == [
        "scorenet",
        "live",
        "--notify",
        shown,
        f"--notify={shown}",
        "--out",
        "x",
    ]
