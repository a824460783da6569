"""Numbers and names as people read them, the same in the terminal and in the HTML report."""


def words(name: str) -> str:
    """An identifier as words."""
    return name.replace("_", " ")


def on_screen(text: str) -> str:
    """A stranger's text as one may print it: nothing in it moves the cursor or changes colours."""
    return "".join(char if char.isprintable() or char == "\n" else "�" for char in text)


def percent(rate: float) -> str:
    """A rate in per cent with one decimal."""
    return f"{100 * rate:.1f} %"


def percent0(rate: float) -> str:
    """A rate in whole per cent, without the sign."""
    return f"{100 * rate:.0f}"


def points(difference: float) -> str:
    """A difference of rates in percentage points, with its sign."""
    return f"{100 * difference:+.1f}".replace("-", "−")


def duration(seconds: float) -> str:
    """A duration in its two largest units."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def size(num_bytes: float) -> str:
    """A number of bytes in a unit that fits."""
    for unit in ("B", "kB", "MB"):
        if num_bytes < 1000:
            return f"{num_bytes:.0f} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.1f} GB"


def dollars(amount: float | None) -> str:
    """An amount in US dollars, small ones with the digits that tell them apart; a dash where it is not known."""
    if amount is None:
        return "–"
    return f"${amount:,.2f}" if amount >= 1 or amount == 0 else f"${amount:.3g}"


def estimated(rate: float | None, low: float, high: float) -> str:
    """A rate with its interval; a dash where it is not known."""
    return "–" if rate is None else f"{percent(rate)} ({percent0(low)}–{percent0(high)})"


def cost(seconds: float | None) -> str:
    """Seconds per piece in a unit that fits; nothing where it is not known."""
    if seconds is None:
        return ""
    return f"{1000 * seconds:.2f} ms" if seconds < 1 else f"{seconds:.1f} s"
