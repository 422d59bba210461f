// Package nettest gives tests a machine of their own: Main runs the test binary
// again inside new network and mount namespaces, so that bridges, rules, mounts
// and sysctls of a test are never the machine's, and vanish with it.
package nettest
