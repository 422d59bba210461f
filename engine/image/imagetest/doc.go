// Package imagetest makes small real images for tests and hands them out by
// every transport: registries, OCI layouts and archives. Only tests import it.
package imagetest
