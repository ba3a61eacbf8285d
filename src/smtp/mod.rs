//! The server's half of SMTP as octets and decisions. Pure: no I/O, no clock.
