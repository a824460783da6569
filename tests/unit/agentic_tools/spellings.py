"""Spellings of URLs by which strangers try to reach what is not theirs, each with the reason for which it is refused."""

from services.generators.agentic.tools.refusals import RefusalReason

ODD = RefusalReason.ODD_HOST
ADDRESS = RefusalReason.FORBIDDEN_ADDRESS
LOCAL = RefusalReason.LOCAL_NAME
MALFORMED = RefusalReason.MALFORMED_URL


def _all(reason: RefusalReason, spellings: str) -> tuple[tuple[str, RefusalReason], ...]:
    return tuple((spelling, reason) for spelling in spellings.split())


HOSTS: tuple[tuple[str, RefusalReason], ...] = (
    # The usual spelling of what is not public.
    *_all(
        ADDRESS,
        """
        127.0.0.1 127.0.0.2 127.1.2.3 127.255.255.255 0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 172.16.0.1 172.31.255.255 192.168.0.1
        192.168.255.255 169.254.169.254 169.254.170.2 169.254.0.1 100.64.0.1 100.100.100.200 100.127.255.255 168.63.129.16 192.0.0.192
        192.0.0.9 192.0.2.1 198.18.0.1 198.51.100.7 203.0.113.9 192.88.99.1 224.0.0.1 239.255.255.250 240.0.0.1 255.255.255.255
        127.0.0.1.
        """,
    ),
    # Decimal, octal, hexadecimal, short, long and mixed IPv4.
    *_all(
        ODD,
        """
        2130706433 017700000001 0x7f000001 0x7F000001 0x7f.0x0.0x0.0x1 0177.0.0.1 0177.0.0.01 127.1 127.0.1 0x7f.1 127.0x1 0 0x0
        00000000 1 0177.1 0300.0250.0.1 2852039166 0xA9FEA9FE 0xa9.0xfe.0xa9.0xfe 0251.0376.0251.0376 169.16689662 0251.254.169.254
        127.0.0.1.1 256.0.0.1 127.0.0.256 127.000.000.001 127.0.0.01 4294967297 0x17f000001 127.0.0.0x1 127.0.0.1.. 127..0.1 .127.0.0.1
        127.0.0.1e0 0x 1.2.3.4.0x5
        """,
    ),
    # Unicode that becomes digits, dots and letters.
    *_all(
        ODD,
        """
        ①②⑦.⓪.⓪.① １２７.０.０.１ 127。0。0。1 127．0．0．1 127｡0｡0｡1 ⓛⓞⓒⓐⓛⓗⓞⓢⓣ ｌｏｃａｌｈｏｓｔ localhoﬆ 𝟏𝟐𝟕.𝟎.𝟎.𝟏 𝓁ocalhost
        ١٢٧.٠.٠.١ ১২৭.০.০.১ locаlhost。 l·ocalhost
        """,
    ),
    # Escapes and characters that parsers drop or split at.
    *_all(
        ODD,
        """
        127%2e0%2e0%2e1 %6c%6f%63alhost localhost%00 localhost%00.example.com 127.0.0.1%23.example.com exa_mple..com -example.com
        example-.com exam!ple.com localhost,example.com 127.0.0.1;x.com
        aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.com . .. .com example.com.. {}.example.com a'b.com
        """,
    ),
    *_all(ODD, ".".join(["a" * 60] * 5)),
    # Local names.
    *_all(
        LOCAL,
        """
        localhost LOCALHOST LocalHost localhost. foo.localhost localhost.localdomain metadata metadata.google.internal
        METADATA.google.internal. instance-data.ec2.internal router.lan printer.local intranet wiki.corp nas.home.arpa
        1.0.0.127.in-addr.arpa kubernetes x.onion kubernetes.default.svc.cluster.local db ip6-localhost xn--e1afmkfd
        """,
    ),
    # IPv6: loopback, unspecified, unique local, link-local, multicast, documentation.
    *_all(
        ADDRESS,
        """
        [::1] [0:0:0:0:0:0:0:1] [0000::0001] [::] [fc00::1] [fd00::1] [fd00:ec2::254] [fd20:ce::254] [fe80::1] [febf::1] [fec0::1]
        [ff02::1] [ff0e::1] [2001:db8::1] [3fff::1] [100::1] [5f00::1]
        """,
    ),
    # IPv6 that wraps IPv4: mapped, compatible, translated, NAT64, 6to4, Teredo, ISATAP.
    *_all(
        ADDRESS,
        """
        [::ffff:127.0.0.1] [::ffff:7f00:1] [0:0:0:0:0:ffff:127.0.0.1] [::FFFF:169.254.169.254] [::ffff:a9fe:a9fe] [::ffff:10.0.0.1]
        [::127.0.0.1] [::7f00:1] [::169.254.169.254] [::ffff:0:127.0.0.1] [::ffff:0:7f00:1] [64:ff9b::127.0.0.1] [64:ff9b::a9fe:a9fe]
        [64:ff9b::10.0.0.1] [64:ff9b:1::7f00:1] [64:ff9b:1::8.8.8.8] [2002:7f00:1::] [2002:a9fe:a9fe::1] [2002:c0a8:1::1]
        [2001:0:4136:e378:8000:63bf:80ff:fffe] [2001::1] [2001:10::1] [2001:20::1] [2a00:1450::5efe:7f00:1]
        [2a00:1450::200:5efe:a9fe:a9fe] [::ffff:8.8.8.8] [192::1]
        """,
    ),
    # Brackets around what is no such address.
    *_all(
        ODD,
        """
        [fe80::1%eth0] [fe80::1%25eth0] [::1%lo] [::1 [::ffff:0x7f.1] [127.0.0.1] [localhost] [] [:::1] [::1]x [::1].example.com
        [v1.fe80::a] [00000::1]
        """,
    ),
)
"""Host spellings, and why `http://<host>/` is refused before any name is looked up."""

URLS: tuple[tuple[str, RefusalReason], ...] = (
    *_all(
        RefusalReason.FORBIDDEN_SCHEME,
        """
        file:///etc/passwd ftp://example.com/a.png gopher://127.0.0.1:6379/_INFO data:image/png;base64,AAAA javascript:alert(1)
        dict://127.0.0.1:11211/ ws://example.com/ unix:///var/run/docker.sock jar:http://example.com!/a.png blob:https://example.com/1
        netdoc:///etc/passwd ldap://127.0.0.1/ HTTPX://a.com
        """,
    ),
    *_all(
        RefusalReason.URL_CREDENTIALS,
        """
        http://user@example.com/ http://user:pass@example.com/ http://@example.com/ http://example.com@127.0.0.1/
        http://127.0.0.1@x.com http://127.0.0.1:80@example.com/ http://example.com:80@127.0.0.1:80/
        """,
    ),
    *_all(
        MALFORMED,
        """
        http://example.com\\@127.0.0.1/ http://127.0.0.1\\.example.com/ http:\\\\127.0.0.1/ \\\\127.0.0.1\\a
        http://127.0.0.1\x00.example.com/ http://local\xadhost/ http://local\u200bhost/ http://\u202e1.0.0.721/ http://127.0.0.1/\ufeff
        http:127.0.0.1/ http:/127.0.0.1/ http:///127.0.0.1/ http:////127.0.0.1/ http:// http:/// //127.0.0.1/ 127.0.0.1 /images/a.png
        example.com/a.png http http://?x http://#x http://example.com:x/ http://example.com:-1/ http://example.com:0080/
        http://example.com:0/ http://example.com:65536/ http://example.com:８０/ http://example.com:+80/
        """,
    ),
    ("http://127.0.0.1\t/", MALFORMED),
    ("http://127.0.0.1\n.example.com/", MALFORMED),
    ("http://exa mple.com/", MALFORMED),
    (" http://127.0.0.1/", MALFORMED),
    ("http://127.0.0.1\r\nHost: example.com/", MALFORMED),
    ("http://example.com/a b.png", MALFORMED),
    ("", MALFORMED),
    ("http://example.com/" + "a" * 2048, MALFORMED),
    *_all(
        RefusalReason.FORBIDDEN_PORT,
        """
        http://example.com:22/ http://example.com:6379/ https://example.com:8443/ http://example.com:25/ http://example.com:8080/a.png
        http://8.8.8.8:53/
        """,
    ),
    *_all(
        ODD,
        """
        http://[::1]:80:80/ http://127.0.0.1:80:80/
        """,
    ),
    *_all(
        ADDRESS,
        """
        http://127.0.0.1#.example.com/ http://127.0.0.1?.example.com/ http://127.0.0.1/example.com HTTP://127.0.0.1 http://127.0.0.1:/
        """,
    ),
)
"""Whole URLs."""

NAMES: dict[str, tuple[str, ...]] = {
    "127.0.0.1.nip.example": ("127.0.0.1",),
    "localtest.example": ("::1",),
    "metadata.example": ("169.254.169.254",),
    "metadata6.example": ("fd00:ec2::254",),
    "intranet.example": ("10.1.2.3",),
    "cgnat.example": ("100.64.1.1",),
    "any.example": ("0.0.0.0",),
    "any6.example": ("::",),
    "mapped.example": ("::ffff:127.0.0.1",),
    "nat64.example": ("64:ff9b::7f00:1",),
    "sixtofour.example": ("2002:7f00:1::",),
    "scoped.example": ("fe80::1%lo",),
    "multicast.example": ("224.0.0.251",),
    "broadcast.example": ("255.255.255.255",),
    "public-then-private.example": ("93.184.216.34", "127.0.0.1"),
    "private-then-public.example": ("127.0.0.1", "93.184.216.34"),
    "public4-private6.example": ("93.184.216.34", "::1"),
}
"""Ordinary names and where a resolver says that they lead: all refused for an address."""

PUBLIC: tuple[tuple[str, str], ...] = (
    ("http://example.com", "http://example.com/"),
    ("HTTPS://WWW.Example.COM:443/A.png", "https://www.example.com/A.png"),
    ("http://example.com.:80/a?b=c#d", "http://example.com/a?b=c"),
    ("https://bücher.example/ä.png", "https://xn--bcher-kva.example/%C3%A4.png"),
    ("https://xn--bcher-kva.example/a%20b.png", "https://xn--bcher-kva.example/a%20b.png"),
    ("http://8.8.8.8/a.png", "http://8.8.8.8/a.png"),
    ("https://[2606:4700:4700::1111]/", "https://[2606:4700:4700::1111]/"),
    ("https://[2606:4700:4700:0::0:1111]:443/x", "https://[2606:4700:4700::1111]/x"),
    ("http://[64:ff9b::8.8.8.8]/", "http://[64:ff9b::808:808]/"),
    ("https://my_bucket.s3.example.com/a.png", "https://my_bucket.s3.example.com/a.png"),
    (
        "https://upload.wikimedia.org/wikipedia/commons/a/a1/It's_(1).jpg?x=1&y=%2F",
        "https://upload.wikimedia.org/wikipedia/commons/a/a1/It's_(1).jpg?x=1&y=%2F",
    ),
    ("https://1.example.com/", "https://1.example.com/"),
    ("https://example.com/@user/a:b", "https://example.com/@user/a:b"),
    ("https://example.com/?u=http://127.0.0.1/", "https://example.com/?u=http://127.0.0.1/"),
)
"""URLs of the public web, and the one spelling in which they are asked."""
