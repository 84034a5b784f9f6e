/* Makes system calls that a container engine's seccomp profile decides over, with arguments that fail or do nothing when they
   are let through, and prints "name errno" for each. Statically linked, it runs in any image and under any filter. */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void probe(const char *name, long number, long a, long b, long c, long d, long e) {
    errno = 0;
    long result = syscall(number, a, b, c, d, e, 0);
    printf("%s %d\n", name, result < 0 ? errno : 0);
    fflush(stdout);
}

/* Each in a child of its own: some succeed and change the process. */
#define PROBE(name, ...) \
    do { \
        pid_t pid = fork(); \
        if (pid == 0) { probe(name, __VA_ARGS__); _exit(0); } \
        int status; \
        waitpid(pid, &status, 0); \
        if (!WIFEXITED(status)) printf("%s %d\n", name, -WTERMSIG(status)); \
    } while (0)

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    PROBE("unshare_newuser", SYS_unshare, CLONE_NEWUSER, 0, 0, 0, 0);
    PROBE("unshare_newns", SYS_unshare, CLONE_NEWNS, 0, 0, 0, 0);
    PROBE("unshare_nothing", SYS_unshare, 0, 0, 0, 0, 0);
    PROBE("setns", SYS_setns, -1, 0, 0, 0, 0);
    PROBE("keyctl", SYS_keyctl, -1, 0, 0, 0, 0);
    PROBE("add_key", SYS_add_key, 0, 0, 0, 0, 0);
    PROBE("request_key", SYS_request_key, 0, 0, 0, 0, 0);
    PROBE("bpf", SYS_bpf, 9999, 0, 0, 0, 0);
    PROBE("perf_event_open", SYS_perf_event_open, 0, 0, -1, -1, 0);
    PROBE("userfaultfd", SYS_userfaultfd, 0xffff, 0, 0, 0, 0);
    PROBE("io_uring_setup", SYS_io_uring_setup, 0, 0, 0, 0, 0);
    PROBE("io_uring_enter", SYS_io_uring_enter, -1, 0, 0, 0, 0);
    PROBE("mount", SYS_mount, 0, 0, 0, 0, 0);
    PROBE("umount2", SYS_umount2, 0, 0, 0, 0, 0);
    PROBE("pivot_root", SYS_pivot_root, 0, 0, 0, 0, 0);
    PROBE("move_mount", SYS_move_mount, -1, 0, -1, 0, 0);
    PROBE("open_tree", SYS_open_tree, -1, 0, 0, 0, 0);
    PROBE("fsopen", SYS_fsopen, 0, 0, 0, 0, 0);
    PROBE("swapon", SYS_swapon, 0, 0, 0, 0, 0);
    PROBE("swapoff", SYS_swapoff, 0, 0, 0, 0, 0);
    PROBE("reboot", SYS_reboot, 0, 0, 0, 0, 0);
    PROBE("kexec_load", SYS_kexec_load, 0, 0, 0, -1, 0);
    PROBE("init_module", SYS_init_module, 0, 0, 0, 0, 0);
    PROBE("delete_module", SYS_delete_module, 0, 0, 0, 0, 0);
    PROBE("settimeofday", SYS_settimeofday, 1, 0, 0, 0, 0);
    PROBE("clock_settime", SYS_clock_settime, -1, 0, 0, 0, 0);
    PROBE("acct", SYS_acct, 1, 0, 0, 0, 0);
    PROBE("quotactl", SYS_quotactl, -1, 0, 0, 0, 0);
    PROBE("syslog", SYS_syslog, 9999, 0, 0, 0, 0);
    PROBE("sethostname", SYS_sethostname, 0, -1, 0, 0, 0);
    PROBE("name_to_handle_at", SYS_name_to_handle_at, -1, 0, 0, 0, 0);
    PROBE("open_by_handle_at", SYS_open_by_handle_at, -1, 0, 0, 0, 0);
    PROBE("process_vm_readv", SYS_process_vm_readv, -1, 0, 0, 0, 0);
    PROBE("ptrace", SYS_ptrace, 9999, -1, 0, 0, 0);
    PROBE("kcmp", SYS_kcmp, -1, -1, 0, 0, 0);
    PROBE("pidfd_open", SYS_pidfd_open, -1, 0, 0, 0, 0);
    PROBE("pidfd_getfd", SYS_pidfd_getfd, -1, 0, 0, 0, 0);
    PROBE("chroot", SYS_chroot, 0, 0, 0, 0, 0);
    PROBE("mbind", SYS_mbind, 0, 0, 9999, 0, 0);
    PROBE("set_mempolicy", SYS_set_mempolicy, 9999, 0, 0, 0, 0);
    PROBE("move_pages", SYS_move_pages, -1, 0, 0, 0, 0);
    PROBE("vhangup", SYS_vhangup, 0, 0, 0, 0, 0);
    PROBE("fanotify_init", SYS_fanotify_init, -1, 0, 0, 0, 0);
    PROBE("close_range", SYS_close_range, 9999, 0, 0, 0, 0);
    PROBE("openat2", SYS_openat2, -1, 0, 0, 0, 0);
    PROBE("clone_newuser", SYS_clone, CLONE_NEWUSER | 17, 0, 0, 0, 0);
    PROBE("clone_newpid", SYS_clone, CLONE_NEWPID | 17, 0, 0, 0, 0);
    PROBE("clone_newcgroup", SYS_clone, CLONE_NEWCGROUP | 17, 0, 0, 0, 0);
    PROBE("clone_plain", SYS_clone, 17, 0, 0, 0, 0);
    PROBE("clone3", SYS_clone3, 0, 0, 0, 0, 0);
    PROBE("personality_linux", SYS_personality, 0, 0, 0, 0, 0);
    PROBE("personality_linux32", SYS_personality, 8, 0, 0, 0, 0);
    PROBE("personality_query", SYS_personality, 0xffffffff, 0, 0, 0, 0);
    PROBE("personality_uname26", SYS_personality, 0x20000, 0, 0, 0, 0);
    PROBE("personality_no_randomize", SYS_personality, 0x40000, 0, 0, 0, 0);
    PROBE("personality_read_implies_exec", SYS_personality, 0x400000, 0, 0, 0, 0);
    PROBE("socket_unix", SYS_socket, 1, 1, 0, 0, 0);
    PROBE("socket_netlink", SYS_socket, 16, 3, 0, 0, 0);
    PROBE("socket_packet", SYS_socket, 17, 3, 0, 0, 0);
    PROBE("socket_alg", SYS_socket, 38, 5, 0, 0, 0);
    PROBE("socket_vsock", SYS_socket, 40, 1, 0, 0, 0);
    PROBE("socket_qipcrtr", SYS_socket, 42, 2, 0, 0, 0);
    PROBE("no_such_call_400", 400, 0, 0, 0, 0, 0);
    PROBE("no_such_call_1000", 1000, 0, 0, 0, 0, 0);
    PROBE("x32_getpid", 0x40000000 + 39, 0, 0, 0, 0, 0);
    PROBE("x32_unshare", 0x40000000 + 272, CLONE_NEWUSER, 0, 0, 0, 0);
    PROBE("number_minus_one", -1, 0, 0, 0, 0, 0);
    return 0;
}
