package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Projects are written as files, as a user's are.

// flatProject has n services that wait for nothing.
func flatProject(n int, image string) string {
	var b strings.Builder
	b.WriteString("services:\n")
	for i := range n {
		fmt.Fprintf(&b, "  s%d: {image: %q, command: [%s]}\n", i, image, idlePath)
	}
	return b.String()
}

// chainProject has n services of which each waits for the next to be healthy.
func chainProject(n int, image string) string {
	var b strings.Builder
	b.WriteString("services:\n")
	for i := range n {
		fmt.Fprintf(&b, "  s%d:\n    image: %q\n    command: [%s]\n", i, image, idlePath)
		fmt.Fprintf(&b, "    healthcheck: {test: [CMD, %s], interval: 1s}\n", truePath)
		if i+1 < n {
			fmt.Fprintf(&b, "    depends_on: {s%d: {condition: service_healthy}}\n", i+1)
		}
	}
	return b.String()
}

// portProject publishes the network service of bench.
func portProject(image string) string {
	return fmt.Sprintf("services:\n  net: {image: %q, command: [%s, serve], ports: [\"127.0.0.1:%d:%d\"]}\n",
		image, benchPath, publishedPort, servePort)
}

// writeProject puts a project file in a folder of its own, whose name becomes
// the project's, and gives the folder.
func writeProject(dir, name, text string) (string, error) {
	folder := filepath.Join(dir, name)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", err
	}
	return folder, os.WriteFile(filepath.Join(folder, "compose.yaml"), []byte(text), 0o644)
}
