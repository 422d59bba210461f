//go:build !linux

package nettest

// Main runs nothing: there are no namespaces here.
func Main(run func() int) {}
