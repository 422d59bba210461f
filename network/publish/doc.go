// Package publish owns published ports: a listening socket for each, held for
// as long as the port is published, whatever happens to the containers behind.
package publish
