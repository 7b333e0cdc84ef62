/*
 * The shortest program. What the program of a container costs is not the runtime's price: that of a C library that is
 * linked into it asks the processor some 35 questions when it starts (cpuid), each of which leaves a virtual machine.
 */
void _start(void)
{
#if defined(__x86_64__)
    __asm__ volatile("syscall" : : "a"(231L), "D"(0L));
#elif defined(__aarch64__)
    register long number __asm__("x8") = 94, status __asm__("x0") = 0;
    __asm__ volatile("svc 0" : : "r"(number), "r"(status));
#else
#error "exit_group(2) of this architecture"
#endif
    __builtin_unreachable();
}
