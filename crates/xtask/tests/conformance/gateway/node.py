"""What a node says of itself."""

import urllib.request


def metrics(api):
    with urllib.request.urlopen(f"http://{api}/metrics", timeout=20) as answer:
        return answer.read().decode()


def memory_bytes(api):
    """What of its memory is in use, as the system counts it."""
    line = next(it for it in metrics(api).splitlines() if it.startswith("process_resident_memory_bytes"))
    return int(float(line.split()[-1]))
