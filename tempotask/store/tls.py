"""What is wrong when TLS does not come about, in words that say what to write into the URL.

None of it is cured by waiting, though to the client library it is a broken connection like any other.
"""

from __future__ import annotations

import re

from redis import RedisError

TROUBLE = (
    ("KEY_VALUES_MISMATCH", "the key that ssl_keyfile names in the URL is not that of the certificate"),
    ("mismatch", "its certificate is for another name: reach it by the name that the certificate has"),
    ("has expired", "its certificate has expired: it needs a new one"),
    (
        "CERTIFICATE_VERIFY_FAILED",
        "nobody whom we trust has signed its certificate: name the file of who did, ?ssl_ca_certs=/path/to/ca.pem",
    ),
    (
        "CERTIFICATE_REQUIRED",
        "it asks for a certificate of ours: ?ssl_certfile=/path/to/cert.pem&ssl_keyfile=/path/to/key.pem",
    ),
    ("ALERT_UNKNOWN_CA", "it does not trust who has signed our certificate (ssl_certfile in the URL)"),
    ("WRONG_VERSION_NUMBER", "it does not speak TLS: write redis:// instead of rediss://"),
    ("NO_CERTIFICATE_OR_CRL_FOUND", "the file that ssl_ca_certs names in the URL holds no certificate"),
    ("[SSL] PEM lib", "ssl_certfile or ssl_keyfile in the URL is no such file, or ssl_password does not open the key"),
)
"""Words of an error, and what they mean; the first that fits."""

A_HOST = re.compile(r"connecting to [^/]+:\d+\.")
"""In an error's text: what could not be reached is at a port, and not a path."""


def trouble(error: RedisError) -> str:
    """What is wrong; empty if it is nothing about TLS."""
    text = str(error)
    if "SSL" in text or "X509" in text:
        return next((meaning for words, meaning in TROUBLE if words in text), "")
    # The way to a host names no file but these; a unix socket that is not there may still come.
    missing = isinstance(error.__context__, FileNotFoundError) and A_HOST.search(text)
    return "a file that its URL names (ssl_ca_certs, ssl_certfile, ssl_keyfile) is not there" if missing else ""


def doubt(label: str, error: RedisError) -> str:
    """What may be wrong when a server at that label can't be reached though it is waited for; empty if there is no
    sign of TLS. A server without TLS says nothing to a client that begins with it, and one with TLS hangs up."""
    text = str(error)
    if label.startswith(("rediss:", "valkeys:")) and "Timeout connecting" in text:
        return "if it does not speak TLS, write redis://"
    if label.startswith(("redis:", "valkey:")) and "Connection reset" in text:
        return "if it speaks TLS, write rediss://"
    return ""
