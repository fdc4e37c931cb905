"""`python -m caltech_lab.demo.server` is `python -m voila`, with an earlier first page.

Voilà starts a kernel when a page is opened, and the kernel then imports what it needs. Here a
process imports that while Voilà starts, and becomes the first kernel; see `demo.kernel`.
"""

import json
import os
import runpy
import subprocess
import sys
from contextlib import suppress
from typing import Any

KERNEL = [sys.executable, "-m", "ipykernel_launcher"]


def prepare_kernel() -> None:
    """Start a process that becomes the first kernel; later kernels start as usual."""
    waiting = subprocess.Popen(
        [sys.executable, "-m", "caltech_lab.demo.kernel"],
        stdin=subprocess.PIPE,
        start_new_session=True,  # as Jupyter does, to interrupt the kernel alone
        env=os.environ | {"JPY_PARENT_PID": str(os.getpid())},  # the kernel ends with this process
    )
    from jupyter_client.provisioning import local_provisioner

    launch = local_provisioner.launch_kernel
    left = [waiting]

    def launch_prepared(cmd: list[str], **options: Any) -> "subprocess.Popen[bytes]":
        prepared = left.pop() if left and cmd[: len(KERNEL)] == KERNEL else None
        if prepared is not None and prepared.poll() is None:
            order = {
                "arguments": cmd[len(KERNEL) :],
                "folder": options.get("cwd"),
                "environment": options.get("env") or dict(os.environ),
            }
            with suppress(OSError):  # it has just ended
                assert prepared.stdin is not None
                prepared.stdin.write(json.dumps(order).encode() + b"\n")
                prepared.stdin.close()
                return prepared
        return launch(cmd, **options)

    local_provisioner.launch_kernel = launch_prepared


def main() -> None:
    """Run Voilà with the arguments of this process."""
    # jsonschema checks international addresses by a package that compiles its grammar when it is
    # imported, for two seconds. It does without the package, and the demo has no such addresses.
    sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]
    if os.name == "posix":  # on Windows, Jupyter hands handles to a new kernel
        prepare_kernel()
    runpy.run_module("voila", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
