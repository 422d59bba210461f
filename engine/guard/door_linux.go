package guard

import "os"

// init is the early door; see the package's documentation. The guard never
// comes back from here.
func init() {
	if len(os.Args) > 2 && os.Args[1] == "guard" {
		os.Exit(guardMain(os.Args[2]))
	}
}
