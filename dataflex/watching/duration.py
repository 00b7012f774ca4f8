"""Time spans for people."""


def duration(seconds: float) -> str:
    """``75`` -> ``1 min 15 s``; hours without seconds."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
