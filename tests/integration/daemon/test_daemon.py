"""sampand as a process: its flags, its locks, its signals, its end."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from support.daemon import Sampand
from support.http import ask
from support.processes import wait_for


def sampand_run(*flags: str, timeout: float = 30) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sampan.daemon.main", *flags],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def test_version_and_help() -> None:
    assert sampand_run("--version").stdout.startswith("Sampan version ")
    assert "--data-root string" in sampand_run("--help").stdout


def test_a_second_one_on_the_same_data_is_told_who_and_what_to_do(sampand: Sampand, tmp_path: Path) -> None:
    socket_ = f"unix://{tmp_path}/s.sock"
    for own in (
        ["--data-root", str(sampand.data), "--exec-root", str(tmp_path / "run")],
        ["--data-root", str(tmp_path / "data"), "--exec-root", str(sampand.exec)],
    ):
        answer = sampand_run("-H", socket_, *own)
        assert answer.returncode == 1
        assert f"another sampand (pid {sampand.pid}) uses it" in answer.stderr
        assert "`sampan system stop`" in answer.stderr
    assert ask(sampand.engine.host, "GET", "/_ping")[0] == 200


def test_an_unknown_key_in_the_file_stops_it(tmp_path: Path) -> None:
    (tmp_path / "daemon.json").write_text(json.dumps({"nono": 1}))
    answer = sampand_run("--config-file", str(tmp_path / "daemon.json"))
    assert answer.returncode == 1
    assert "the following directives don't match any configuration option: nono" in answer.stderr


def test_tcp_without_tls_is_refused_unless_forced(tmp_path: Path) -> None:
    places = ["--data-root", str(tmp_path / "data"), "--exec-root", str(tmp_path / "run")]
    answer = sampand_run("-H", "tcp://127.0.0.1:0", *places)
    assert answer.returncode == 1 and "--tls=false" in answer.stderr


def test_forced_tcp_is_warned_about_and_answers(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with Sampand("-H", f"tcp://127.0.0.1:{port}", "--tls=false") as sampand:
        assert "is open without TLS" in sampand.tail()
        with sampand.space.inside(), socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert b"200 OK" in client.recv(4096)


def test_its_pidfile_and_socket_go_with_it(sampand: Sampand) -> None:
    pidfile = sampand.home / "pid"
    assert int(pidfile.read_text()) == sampand.pid
    assert oct(sampand.socket.stat().st_mode & 0o777) == "0o660"
    sampand.stop()
    assert sampand.process is not None and sampand.process.returncode == 0
    assert not pidfile.exists() and not sampand.socket.exists()
    sampand.start()


def test_a_pidfile_of_a_living_one_is_refused_and_stays(sampand: Sampand, tmp_path: Path) -> None:
    pidfile = sampand.home / "pid"
    places = ["--data-root", str(tmp_path / "data"), "--exec-root", str(tmp_path / "run")]
    answer = sampand_run("-H", f"unix://{tmp_path}/s.sock", *places, "--pidfile", str(pidfile))
    assert answer.returncode == 1
    assert f"process with PID {sampand.pid} is still running" in answer.stderr
    assert int(pidfile.read_text()) == sampand.pid


def test_a_pidfile_that_a_dead_one_left_is_taken_over(sampand: Sampand) -> None:
    pidfile = sampand.home / "pid"
    sampand.kill()
    pidfile.write_text(f"{os.getpid()}\n")
    os.utime(pidfile, (1, 1))  # long before we began: the number was another's, before a restart of the machine maybe
    sampand.start()
    assert int(pidfile.read_text()) == sampand.pid


def test_a_pidfile_of_a_living_stranger_is_refused_and_stays(tmp_path: Path) -> None:
    """Somebody who holds no lock on it, as most programs: dockerd refuses it as well."""
    pidfile = tmp_path / "pid"
    pidfile.write_text(f"{os.getpid()}\n")
    places = ("--data-root", str(tmp_path / "data"), "--exec-root", str(tmp_path / "run"))
    answer = sampand_run("-H", f"unix://{tmp_path}/s.sock", *places, "--pidfile", str(pidfile))
    assert answer.returncode == 1
    assert f"process with PID {os.getpid()} is still running" in answer.stderr
    assert int(pidfile.read_text()) == os.getpid()


def test_stop_by_request(sampand: Sampand) -> None:
    sampand.remember()
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(sampand.socket))
    connection.sendall(b"POST /sampan/v1/stop HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
    assert connection.recv(4096).startswith(b"HTTP/1.1 204")
    connection.close()
    assert sampand.process is not None
    assert sampand.process.wait(20) == 0
    sampand.start()


def test_sigusr1_shows_what_it_does(sampand: Sampand) -> None:
    os.kill(sampand.pid, signal.SIGUSR1)
    wait_for(lambda: "Stack for" in sampand.tail(), "the stacks are in the log")
    assert ask(sampand.engine.host, "GET", "/_ping")[0] == 200


def test_a_state_that_a_newer_one_wrote(sampand: Sampand) -> None:
    import sqlite3

    sampand.stop()
    path = sampand.data / "state.db"
    with sqlite3.connect(path) as connection:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        connection.execute("PRAGMA user_version = 999")
    answer = sampand_run(*sampand.argv()[3:])
    assert answer.returncode == 1
    assert f"{path} has version 999" in answer.stderr and "use the newer sampand" in answer.stderr
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {version}")
    sampand.start()


def test_a_lost_or_damaged_state_stops_it_and_nothing_is_swept(sampand: Sampand) -> None:
    sampand.stop()
    path, aside = sampand.data / "state.db", sampand.home / "state.db"
    kept = sampand.data / "containers" / ("a" * 64)
    kept.mkdir()
    path.rename(aside)
    answer = sampand_run(*sampand.argv()[3:])
    assert answer.returncode == 1 and "state.db is missing" in answer.stderr and "try      restore" in answer.stderr
    path.write_bytes(b"nonsense" * 1000)
    answer = sampand_run(*sampand.argv()[3:])
    assert answer.returncode == 1 and answer.stderr.count("\n") == 1 and "is damaged" in answer.stderr
    assert kept.is_dir()
    aside.rename(path)
    kept.rmdir()
    sampand.start()


def test_it_is_small(sampand: Sampand) -> None:
    for line in Path(f"/proc/{sampand.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            assert int(line.split()[1]) <= 64 << 10, line
