//go:build race

package client

// raceDetector makes processes large.
const raceDetector = true
