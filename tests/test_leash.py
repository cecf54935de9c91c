import subprocess
import sys

import psutil

CODE = """
import subprocess, sys, time
from seglib.leash import end_with_starter
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
end_with_starter()
print(child.pid, flush=True)
time.sleep(600)
"""
STARTER = f"""
import subprocess, sys
print(subprocess.Popen([sys.executable, "-c", {CODE!r}], stdin=subprocess.PIPE).pid, flush=True)
input()
"""


def is_gone(pid):
    try:
        psutil.Process(pid).wait(20)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE  # nobody here waits for orphans
    return True


def test_a_process_ends_with_all_below_it_when_its_starter_is_killed():
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", STARTER], **pipes) as starter:
        pids = [int(starter.stdout.readline()) for _ in range(2)]
        assert all(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids)
        starter.kill()
    assert [is_gone(pid) for pid in pids] == [True, True]


def test_the_command_line_is_that_of_seglib():
    command = [sys.executable, "-m", "seglib.leash", "run", "--preset", "quik"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr.readline() == "seglib: there is no preset 'quik'; did you mean quick?\n"
        assert process.wait() == 2
