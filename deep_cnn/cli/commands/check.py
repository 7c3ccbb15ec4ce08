"""python -m deep_cnn check: everything that would stop or spoil a run, found before it is queued."""

from deep_cnn.config.schema import Config

Options = Config  # the very flags of the training


def main(config: Config) -> int:
    from deep_cnn.runtime import console
    from deep_cnn.tools.preflight import inspect

    console.console_only()
    found = list(inspect(config))
    print(f"\n{'':6}{'what':<40}finding")
    for finding in found:
        level = {"ok": "", "look": "look", "stop": "STOP"}[finding.level]
        print(f"{level:<6}{finding.what:<40}{finding.detail}")
    stops, looks = (sum(finding.level == level for finding in found) for level in ("stop", "look"))
    said = "nothing would stop this run" if not stops else f"{stops} finding{'s' * (stops > 1)} would stop this run"
    print(f"\n{said}; {looks} to look at")
    return 2 if stops else 0
