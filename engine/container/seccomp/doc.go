// Package seccomp compiles an OCI seccomp profile to a classic BPF filter. It
// is pure: no system calls, no state, and nothing to initialise at start.
//
// Compared with libseccomp, which needs cgo, and with elastic/go-seccomp-bpf,
// which knows one architecture at a time and not every comparison, it
//
//   - emits a binary search over ranges of system call numbers per architecture
//     (about 10 instructions to a verdict; Docker's default profile for three
//     architectures stays below 600), which the kernel also precomputes faster;
//   - answers ENOSYS instead of the default errno for system calls newer than
//     any that the profile names, as runc does, so that C libraries fall back;
//   - kills a process that enters through an architecture not in the profile;
//   - refuses what it cannot express. Only names that no system call of the
//     architecture has are skipped, as everywhere: profiles list many machines.
//
// Compile is called by package container in the engine; the child only loads
// the result.
package seccomp
