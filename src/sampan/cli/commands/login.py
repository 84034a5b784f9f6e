"""``login`` and ``logout``: who the user is at a registry."""

from __future__ import annotations

from sampan.cli.credentials import INDEX, hostname
from sampan.cli.errors import CommandError
from sampan.cli.kinds import BOOL, STRING
from sampan.cli.parser import Command, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.parser import Arguments
    from sampan.cli.session import Session

UNAUTHORIZED = 401
_HUB = "docker.io"
_INSECURE = "WARNING! Using --password via the CLI is insecure. Use --password-stdin."
_NO_TERMINAL = "Error: Cannot perform an interactive login from a non TTY device"
_HUB_ACCOUNT = (
    "Log in with your Docker ID or email address to push and pull images from Docker Hub. If you don't have a "
    "Docker ID, head over to https://hub.docker.com/ to create one.\n"
    "A Personal Access Token (PAT) can be used in place of the password.\n\n"
)


def login(session: Session, arguments: Arguments) -> int:
    """``sampan login``."""
    username, password = _given(session, arguments)
    server = _server(arguments.rest[0] if arguments.rest else "")
    status = ""
    if not username and not password:
        username, status = _with_what_is_kept(session, server)
    if not status:
        username, password = _ask(session, server, username, password, given_user=bool(arguments["username"]))
        status = _authenticate(session, server, username, password)
    session.line(status)
    return 0


def _given(session: Session, arguments: Arguments) -> tuple[str, str]:
    """What the command line and stdin say; "" for what they don't. Raises CommandError."""
    username, password = arguments["username"], arguments["password"]
    if "password" in arguments.given and arguments["password-stdin"]:
        raise CommandError("conflicting options: cannot specify both --password and --password-stdin")
    if password:
        session.error_line(_INSECURE)
    if "username" in arguments.given and not username:
        raise CommandError("username is empty")
    if arguments["password-stdin"]:
        if not username:
            raise CommandError("the --password-stdin option requires --username to be set")
        password = session.read_all().removesuffix("\n").removesuffix("\r")
    return username, password


def _server(given: str) -> str:
    return INDEX if given in ("", _HUB, INDEX) else hostname(given)


def _with_what_is_kept(session: Session, server: str) -> tuple[str, str]:
    """Try the credentials that are kept; returns their user name, to be offered, and the daemon's word if they do."""
    from sampan.api.client.errors import ApiError

    try:
        entry = session.credentials.lookup(server)
    except CommandError as error:
        session.error_line(f"WARNING: {error}")
        return "", ""
    username, password = entry.get("username", ""), entry.get("password", "")
    if not username or not password:
        return username, ""
    session.error_line(
        f"Authenticating with existing credentials... [Username: {username}]\n\n"
        " Info -> To login with a different account, run 'sampan logout' followed by 'sampan login'\n\n"
    )
    try:
        return username, _authenticate(session, server, username, password)
    except ApiError as error:
        refused = error.status == UNAUTHORIZED
        session.error_line(
            "Stored credentials invalid or expired" if refused else f"Login did not succeed, error: {error}"
        )
    return username, ""


def _authenticate(session: Session, server: str, username: str, password: str) -> str:
    """Have the daemon try the credentials, and keep them; returns its word. Raises ApiError, CommandError."""
    body = {"username": username, "password": password, "serveraddress": server}
    answer = session.client.call("POST", "/auth", body=body) or {}
    token = str(answer.get("IdentityToken") or "")
    try:
        plain = session.credentials.store(server, username, password, token)
    except (CommandError, OSError) as error:
        raise CommandError(f"Error saving credentials: {error}") from None
    if plain:
        session.error_line(
            f"\nWARNING! Your credentials are stored unencrypted in '{session.credentials.path}'.\n"
            "Configure a credential helper to remove this warning. See\n"
            "https://docs.docker.com/go/credential-store/\n"
        )
    return str(answer.get("Status") or "Login Succeeded")


def _ask(session: Session, server: str, username: str, password: str, *, given_user: bool) -> tuple[str, str]:
    """Ask for what is missing. Raises CommandError."""
    if username and password and given_user:
        return username, password
    if not session.is_terminal(0):
        raise CommandError(_NO_TERMINAL)
    if not given_user:
        if server == INDEX:
            session.out(_HUB_ACCOUNT)
        session.out(f"Username ({username}): " if username else "Username: ")
        username = session.read_line().strip() or username
        if not username:
            raise CommandError("Error: Non-null Username Required")
    if not password:
        password = _ask_quietly(session).rstrip("\r\n")
        if not password:
            raise CommandError("Error: Password Required")
    return username, password


def _ask_quietly(session: Session) -> str:
    """Read a password from the terminal on stdin, which doesn't show what is typed from the prompt on."""
    import termios

    before = termios.tcgetattr(0)
    termios.tcsetattr(0, termios.TCSADRAIN, [*before[:3], before[3] & ~termios.ECHO, *before[4:]])
    try:
        session.out("Password: ")
        return session.read_line()
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)
        session.line("")


def logout(session: Session, arguments: Arguments) -> int:
    """``sampan logout``."""
    server = _server(arguments.rest[0] if arguments.rest else "")
    session.line(f"Removing login credentials for {server}")
    keys = [server] if server == INDEX else [server, f"http://{server}", f"https://{server}"]
    problems = {}
    for key in keys:
        try:
            session.credentials.erase(key)
        except (CommandError, OSError) as error:
            problems[key] = str(error)
    if len(problems) == len(keys):
        session.error_line("WARNING: could not erase credentials:")
        for key, text in problems.items():
            session.error_line(f"{key}: {text}")
    return 0


LOGIN = Command(
    "login [OPTIONS] [SERVER]",
    "Authenticate to a registry.\nDefaults to Docker Hub if no server is specified.",
    login,
    (
        Flag("password", STRING, "Password or Personal Access Token (PAT)", "p"),
        Flag("password-stdin", BOOL, "Take the Password or Personal Access Token (PAT) from stdin"),
        Flag("username", STRING, "Username", "u"),
    ),
    maximum=1,
)
LOGOUT = Command(
    "logout [SERVER]",
    "Log out from a registry.\nIf no server is specified, the default is defined by the daemon.",
    logout,
    maximum=1,
)
