/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The library's own reads and writes of the caller's data. A bad address must give EFAULT, as it
 * does when the kernel accesses it. So before the library accesses a page, it lets the kernel do
 * so, in a system call that changes nothing. (Letting the kernel copy, with process_vm_readv(2),
 * takes two to four times as long.)
 *
 * If a sandbox forbids these calls, a bad address is fatal.
 */
#include <linux/futex.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core.h"

/* The kernel reads the mask before it finds that the operation is not valid; without one, neither.
 */
static bool can_read(uintptr_t addr)
{
	const int no_operation = -1;
	uintptr_t mask = addr & ~7UL;

	return syscall(SYS_rt_sigprocmask, no_operation, mask ? mask : 8, NULL, _NSIG / 8) == 0 ||
	       errno != EFAULT;
}

/* The kernel adds 0 to the word, and wakes nobody. */
static bool can_write(uintptr_t addr)
{
	const unsigned add_0 = FUTEX_OP(FUTEX_OP_ADD, 0, FUTEX_OP_CMP_EQ, 0);
	static uint32_t unused;

	return syscall(SYS_futex, &unused, FUTEX_WAKE_OP | FUTEX_PRIVATE_FLAG, 0, NULL, addr & ~3UL,
		       add_0) >= 0 ||
	       errno != EFAULT;
}

static bool check(const void *p, size_t len, bool (*can)(uintptr_t addr))
{
	uintptr_t addr = (uintptr_t)p, end;

	if (__builtin_add_overflow(addr, len, &end))
		return false;
	for (; addr < end; addr = (addr | (PAGE_SIZE_MIN - 1UL)) + 1) {
		if (!can(addr))
			return false;
	}
	return true;
}

bool bk_caller_has(const void *theirs, size_t len, bool writable)
{
	return check(theirs, len, writable ? can_write : can_read);
}

int bk_copy_to_caller(void *theirs, const void *ours, size_t len)
{
	if (!check(theirs, len, can_write))
		return -EFAULT;
	/* Of memory without length, the address may be NULL. */
	if (len)
		memcpy(theirs, ours, len);
	return 0;
}

int bk_copy_from_caller(void *ours, const void *theirs, size_t len)
{
	if (!check(theirs, len, can_read))
		return -EFAULT;
	if (len)
		memcpy(ours, theirs, len);
	return 0;
}

int bk_zero_caller(void *theirs, size_t len)
{
	if (!check(theirs, len, can_write))
		return -EFAULT;
	if (len)
		memset(theirs, 0, len);
	return 0;
}
