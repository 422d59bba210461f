//go:build !linux

package doctor

// Check says that containers need Linux.
func Check() []Finding {
	return []Finding{{
		Feature: "linux", Answer: No, Required: true,
		Remedy: "run devstack on Linux, for example in a virtual machine; `config` and `version` work here",
	}}
}
