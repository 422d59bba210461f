// Package leaktest tells a test what it has left behind: mounts, control groups,
// network interfaces, processes and open files.
//
//	func TestX(t *testing.T) {
//		leaktest.Check(t, runRoot, dataRoot, "devstack-"+tag) // first, so that it looks last
//		...
//
// Other tests and users share the machine, so kernel objects count as ours when
// their name contains one of the names given; processes when they descend from
// the test; files when the test process holds them.
package leaktest
