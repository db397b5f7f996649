/* Holds something that CRIU cannot dump: `undumpable mptcp` or `undumpable io_uring`. */
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

int main(int count, char **words)
{
	char parameters[256] = {0};
	int held = -1;

	if (count == 2 && !strcmp(words[1], "mptcp")) {
		held = socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP);
		if (held >= 0 && listen(held, 1))
			held = -1;
	} else if (count == 2 && !strcmp(words[1], "io_uring")) {
		held = syscall(SYS_io_uring_setup, 1, parameters);
	}
	if (held < 0)
		return 1;
	for (;;)
		pause();
}
