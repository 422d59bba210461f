// Empty: lets pin_linux.go declare functions without bodies.
