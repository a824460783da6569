"""Who stands behind a host name, as well as can be told without a list from the network: the registrable domain.

The Public Suffix List changes weekly and is not shipped here. Instead: two labels, or three where the second-last is one under which the
registries of countries sell names (`example.co.uk`). Sites that give each customer a name of their own (`someone.github.io`) count as one
domain: for a cap on what comes from one source that errs on the strict side.
"""

from ipaddress import ip_address

_SECOND_LEVEL = frozenset(
    {"ac", "co", "com", "edu", "go", "gob", "gouv", "gov", "govt", "gv", "mil", "ne", "net", "nom", "or", "org", "sch", "school"}
)


def registrable_domain(host: str) -> str:
    """The domain that somebody registered, in lower case; an address stands for itself, and nothing for nothing."""
    name = host.lower().strip("[]").rstrip(".")
    try:
        return str(ip_address(name))
    except ValueError:
        labels = name.split(".")
    is_country = len(labels[-1]) == 2
    num_labels = 3 if len(labels) > 2 and is_country and labels[-2] in _SECOND_LEVEL else 2
    return ".".join(labels[-num_labels:])
