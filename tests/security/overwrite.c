// CVE-2019-5736: get hold of the runtime's own executable from inside a container and open it for writing.
// Nothing is written: an open for writing that succeeds is reported and is the end of the test.
// As a program: watches every process that appears. As the ELF loader of the container: runs in the runtime's stead
// when a script says "#!/proc/self/exe".
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

static void try_write(int fd, const char *what, const char *target) {
    char self[64];
    struct statvfs facts;
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    int readonly = fstatvfs(fd, &facts) == 0 && (facts.f_flag & ST_RDONLY);
    int out = open(self, O_WRONLY | O_CLOEXEC);
    printf("%s %s %s mount=%s\n", out >= 0 ? "WRITABLE" : "refused", what, target, readonly ? "ro" : "rw");
    if (out < 0 && !readonly && errno == ETXTBSY) printf("WRITABLE-LATER %s %s\n", what, target);
    if (out >= 0) close(out);
    fflush(stdout);
}

static void look_at(const char *pid) {
    char path[64], target[512];
    snprintf(path, sizeof path, "/proc/%s/exe", pid);
    ssize_t n = readlink(path, target, sizeof target - 1);
    if (n < 0) return;
    target[n] = 0;
    if (!strcmp(target, "/bin/busybox") || !strcmp(target, "/overwrite")) return;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    try_write(fd, "exe", target);
    close(fd);
}

int main(int argc, char **argv) {
    setvbuf(stdout, 0, _IOLBF, 0);
    if (argc < 2 || strcmp(argv[1], "watch")) { // the loader's way
        int fd = open("/proc/self/exe", O_RDONLY);
        if (fd >= 0) try_write(fd, "self", "/proc/self/exe");
        puts("loaded");
        return 3;
    }
    puts("watching");
    time_t end = time(0) + atoi(argv[2]);
    while (time(0) < end) {
        DIR *proc = opendir("/proc");
        struct dirent *entry;
        while ((entry = readdir(proc)))
            if (entry->d_name[0] > '0' && entry->d_name[0] <= '9' && strcmp(entry->d_name, "1")) look_at(entry->d_name);
        closedir(proc);
    }
    puts("watched");
    return 0;
}
