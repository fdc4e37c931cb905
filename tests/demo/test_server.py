"""The server of the demo, and the kernel that is prepared while it starts."""

import subprocess
import sys
from pathlib import Path

CODE = """
import json, os, sys
from jupyter_client.manager import start_new_kernel
from caltech_lab.demo import server

server.prepare_kernel()
found = []
for _ in range(2):
    env = os.environ | {"ORDERED": "yes"}
    manager, client = start_new_kernel(env=env, cwd=sys.argv[1], startup_timeout=120)
    what = "[os.getcwd(), os.environ['ORDERED'], 'faiss' in sys.modules, 'sklearn' in sys.modules]"
    said = []
    client.execute_interactive(
        f"import json, os, sys; print(json.dumps({what}))",
        output_hook=lambda message: said.append(message["content"].get("text", "")), timeout=60,
    )
    found.append(json.loads("".join(said)))
    client.stop_channels()
    manager.shutdown_kernel()
    assert not manager.provisioner.has_process
print(json.dumps(found))
"""


def run(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL,
        timeout=240, check=False,
    )  # fmt: skip


def test_the_first_kernel_is_the_prepared_one_and_the_second_a_usual_one(tmp_path: Path) -> None:
    done = run("-c", CODE, str(tmp_path))
    assert done.returncode == 0, done.stderr
    first, second = f'["{tmp_path}", "yes", true, false]', f'["{tmp_path}", "yes", false, false]'
    expected = [first, second] if sys.platform != "win32" else [second, second]
    assert done.stdout.splitlines()[-1] == f"[{', '.join(expected)}]"


def test_a_kernel_without_an_order_ends() -> None:
    done = run("-m", "caltech_lab.demo.kernel")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_server_is_voila_with_its_own_arguments() -> None:
    done = run("-m", "caltech_lab.demo.server", "--version")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == run("-m", "voila", "--version").stdout.strip()
