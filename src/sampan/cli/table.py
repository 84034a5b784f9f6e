"""All commands: their names, what they do, and where they are. Names and modules only, so that it imports in no time.

A command is ``(module below sampan.cli.commands, attribute)``; the attribute is a `parser.Command`. The order is
that of the help pages.
"""

from __future__ import annotations

Place = tuple[str, str]

# Commands of the first level that help puts first, and the others. Values: module, attribute, what it does.
COMMON: dict[str, tuple[str, str, str]] = {
    "run": ("run", "RUN", "Create and run a new container from an image"),
    "exec": ("execute", "EXEC", "Execute a command in a running container"),
    "ps": ("container_list", "PS", "List containers"),
    "pull": ("pull", "PULL", "Download an image from a registry"),
    "images": ("image_list", "IMAGES_COMMAND", "List images"),
    "login": ("login", "LOGIN", "Authenticate to a registry"),
    "logout": ("login", "LOGOUT", "Log out from a registry"),
    "version": ("version", "VERSION", "Show the Sampan version information"),
    "info": ("info", "INFO", "Display system-wide information"),
}
OTHERS: dict[str, tuple[str, str, str]] = {
    "attach": ("attach", "ATTACH", "Attach local standard input, output, and error streams to a running container"),
    "commit": ("container_files", "COMMIT", "Create a new image from a container's changes"),
    "create": ("run", "CREATE", "Create a new container"),
    "diff": ("container_files", "DIFF", "Inspect changes to files or directories on a container's filesystem"),
    "events": ("events", "EVENTS", "Get real time events from the server"),
    "export": ("container_files", "EXPORT", "Export a container's filesystem as a tar archive"),
    "history": ("image_history", "HISTORY", "Show the history of an image"),
    "import": ("image_change", "IMPORT", "Import the contents from a tarball to create a filesystem image"),
    "inspect": ("inspect", "INSPECT", "Return low-level information on Docker objects"),
    "kill": ("container_state", "KILL", "Kill one or more running containers"),
    "load": ("image_change", "LOAD", "Load an image from a tar archive or STDIN"),
    "logs": ("logs", "LOGS", "Fetch the logs of a container"),
    "port": ("port", "PORT", "List port mappings or a specific mapping for the container"),
    "push": ("push", "PUSH", "Upload an image to a registry"),
    "rename": ("container_state", "RENAME", "Rename a container"),
    "restart": ("container_state", "RESTART", "Restart one or more containers"),
    "rm": ("container_state", "RM", "Remove one or more containers"),
    "rmi": ("image_change", "RMI", "Remove one or more images"),
    "save": ("image_save", "SAVE", "Save one or more images to a tar archive (streamed to STDOUT by default)"),
    "search": ("search", "SEARCH", "Search Docker Hub, or the registry that TERM begins with, for images"),
    "start": ("start", "START", "Start one or more stopped containers"),
    "stop": ("container_state", "STOP", "Stop one or more running containers"),
    "tag": ("image_change", "TAG", "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE"),
    "top": ("container_look", "TOP", "Display the running processes of a container"),
    "wait": ("container_state", "WAIT", "Block until one or more containers stop, then print their exit codes"),
}
TOP = {**COMMON, **OTHERS}

_CONTAINER = ("attach", "create", "exec", "kill", "logs", "port", "rename", "restart", "rm", "run", "start", "stop")

HIDDEN_GROUPS = frozenset(("completion",))  # as in Docker's help
# Groups: what they are for, their commands (name → place and help), and other names of those commands.
GROUPS: dict[str, tuple[str, dict[str, tuple[str, str, str]], dict[str, str]]] = {
    "completion": (
        "Generate the autocompletion script for the specified shell",
        {
            "bash": ("completion", "BASH", "Generate the autocompletion script for bash"),
            "fish": ("completion", "FISH", "Generate the autocompletion script for fish"),
            "zsh": ("completion", "ZSH", "Generate the autocompletion script for zsh"),
        },
        {},
    ),
    "container": (
        "Manage containers",
        {
            **{name: TOP[name] for name in (*_CONTAINER, "commit", "diff", "export", "top", "wait")},
            "inspect": ("inspect", "CONTAINER_INSPECT", "Display detailed information on one or more containers"),
            "ls": ("container_list", "LS", "List containers"),
            "prune": ("prune", "CONTAINER_PRUNE", "Remove all stopped containers"),
        },
        {"ps": "ls", "list": "ls", "remove": "rm"},
    ),
    "image": (
        "Manage images",
        {
            **{name: TOP[name] for name in ("history", "import", "load", "pull", "push", "save", "tag")},
            "diff": ("image_diff", "DIFF", "Show what an image has otherwise than another one"),
            "inspect": ("inspect", "IMAGE_INSPECT", "Display detailed information on one or more images"),
            "ls": ("image_list", "LS", "List images"),
            "pack": ("image_pack", "PACK", "Make an image of programs of this machine, with all that they need"),
            "prune": ("prune", "IMAGE_PRUNE", "Remove unused images"),
            "rm": ("image_change", "RM", "Remove one or more images"),
        },
        {"list": "ls", "rmi": "rm", "remove": "rm"},
    ),
    "network": (
        "Manage networks",
        {
            "connect": ("network", "CONNECT", "Connect a container to a network"),
            "create": ("network", "CREATE", "Create a network"),
            "disconnect": ("network", "DISCONNECT", "Disconnect a container from a network"),
            "inspect": ("inspect", "NETWORK_INSPECT", "Display detailed information on one or more networks"),
            "ls": ("network_list", "LS", "List networks"),
            "prune": ("network", "PRUNE", "Remove all unused networks"),
            "rm": ("network", "RM", "Remove one or more networks"),
        },
        {"list": "ls", "remove": "rm"},
    ),
    "system": (
        "Manage Sampan",
        {
            "df": ("disk", "DF", "Show disk usage"),
            "events": TOP["events"],
            "info": TOP["info"],
            "prune": ("prune", "SYSTEM_PRUNE", "Remove unused data"),
            "stop": ("system", "STOP", "Stop the daemon; containers go on running"),
        },
        {},
    ),
}
