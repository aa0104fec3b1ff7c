package io.gantry.checkpoint.linux;

import java.lang.foreign.Arena;

/** Keyrings of the kernel ({@code man 7 keyrings}), as far as they are looked for. Constants: {@code linux/keyctl.h}. Any thread. */
public final class Keyring {
  /** Type of a key that is a keyring. */
  public static final String TYPE = "keyring";

  /** First argument of {@code keyctl(2)}: write "type;uid;gid;permissions;description" into a buffer. */
  public static final int KEYCTL_DESCRIBE = 6;

  /** First argument of {@code keyctl(2)}: write the payload into a buffer; that of a keyring is the ids of its keys, four bytes each. */
  public static final int KEYCTL_READ = 11;

  private Keyring() {}

  /**
   * Searches the calling thread's own keyrings, and those in them, for one of this name by {@code request_key(2)}, which asks nobody to make it. Unlike
   * {@code KEYCTL_GET_KEYRING_ID} it does not give a thread a session keyring that has none.
   *
   * @return its id, or minus the error number
   */
  public static long find(String name) {
    try (var arena = Arena.ofConfined()) {
      return Libc.syscall(SyscallNumber.REQUEST_KEY, arena.allocateFrom(TYPE).address(), arena.allocateFrom(name).address(), 0, 0, 0, 0);
    }
  }
}
