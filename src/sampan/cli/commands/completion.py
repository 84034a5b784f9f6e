"""``completion``: the scripts that make a shell ask `sampan.cli.completion`."""

from __future__ import annotations

from sampan.cli.parser import PROGRAM, Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.parser import Arguments
    from sampan.cli.session import Session

# Bash splits words at : and = too; here they are split at blanks, and what stands before the last of those marks is
# taken off the candidates again, because Bash keeps it.
_BASH = r"""# bash completion of sampan: source <(sampan completion bash)
_sampan() {
    local line current kept
    local -a words
    COMPREPLY=()
    read -ra words <<< "${COMP_LINE:0:COMP_POINT}"
    [[ ${COMP_LINE:0:COMP_POINT} == *[[:space:]] ]] && words+=("")
    current=${words[-1]}
    kept=${current%"${current##*[:=]}"}
    while IFS= read -r line; do
        case $line in
            :[0-9]*) [[ $line == :0 ]] && compopt -o default ;;
            *) line=${line%%$'\t'*}; COMPREPLY+=("${line#"$kept"}") ;;
        esac
    done < <("${words[0]}" __complete "${words[@]:1}" 2>/dev/null)
}
complete -F _sampan sampan
"""
_ZSH = r"""#compdef sampan
# zsh completion of sampan: source <(sampan completion zsh), or a file _sampan on the fpath
_sampan() {
    local -a found
    local line directive
    for line in "${(@f)$(sampan __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
        case $line in
            :[0-9]*) directive=$line ;;
            *$'\t'*) found+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}") ;;
            *) found+=("${line//:/\\:}") ;;
        esac
    done
    if (( $#found )); then _describe sampan found; elif [[ $directive == :0 ]]; then _files; fi
}
compdef _sampan sampan
"""
_FISH = r"""# fish completion of sampan: sampan completion fish | source
function __sampan_complete
    set -l words (commandline -opc) (commandline -ct)
    sampan __complete $words[2..] 2>/dev/null | string match -v -r '^:\d+$'
end
complete -c sampan -f -a '(__sampan_complete)'
"""


def bash(session: Session, _arguments: Arguments) -> int:
    """``sampan completion bash``."""
    session.out(_BASH)
    return 0


def zsh(session: Session, _arguments: Arguments) -> int:
    """``sampan completion zsh``."""
    session.out(_ZSH)
    return 0


def fish(session: Session, _arguments: Arguments) -> int:
    """``sampan completion fish``."""
    session.out(_FISH)
    return 0


_SHORT = "Generate the autocompletion script for"
BASH = Command("bash", f"{_SHORT} bash: source <({PROGRAM} completion bash)", bash)
ZSH = Command("zsh", f"{_SHORT} zsh: source <({PROGRAM} completion zsh)", zsh)
FISH = Command("fish", f"{_SHORT} fish: {PROGRAM} completion fish | source", fish)
