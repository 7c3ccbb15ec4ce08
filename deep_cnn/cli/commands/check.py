"""python -m deep_cnn check: everything that would stop or spoil a run, found before it is queued."""

from deep_cnn.config.schema import Config

Options = Config  # the very flags of the training


def main(config: Config) -> int:
    from deep_cnn.runtime import console
    from deep_cnn.runtime.format import plural
    from deep_cnn.runtime.launch import tell
    from deep_cnn.tools.preflight import inspect

    console.console_only()
    found = list(inspect(config))
    print(f"\n{'':6}{'what':<40}finding")
    for finding in found:
        level = {"ok": "", "look": "look", "stop": "STOP"}[finding.level]
        print(f"{level:<6}{finding.what:<40}{finding.detail}")
    stops = [finding for finding in found if finding.level == "stop"]
    looks = sum(finding.level == "look" for finding in found)
    said = (
        f"{len(stops)} finding{'s' * (len(stops) > 1)} would stop this run" if stops else "nothing would stop this run"
    )
    print(f"\n{said}; {plural(looks, 'finding')} to look at" if looks else f"\n{said}", flush=True)
    if not stops:
        return 0
    tell(stops[0].detail)  # the mistake on the error stream, as of every command
    return 2
