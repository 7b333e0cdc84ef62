// What a pod's pause container runs: it holds the namespaces, and reaps. Written as Kubernetes' own is.
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void end(int signal) { (void)signal, exit(0); }

static void reap(int signal) {
    (void)signal;
    while (waitpid(-1, NULL, WNOHANG) > 0) {}
}

int main(void) {
    sigaction(SIGINT, &(struct sigaction){ .sa_handler = end }, NULL);
    sigaction(SIGTERM, &(struct sigaction){ .sa_handler = end }, NULL);
    sigaction(SIGCHLD, &(struct sigaction){ .sa_handler = reap, .sa_flags = SA_NOCLDSTOP }, NULL);
    for (;;) pause();
}
