package io.gantry.checkpoint.linux;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.OptionalInt;

/**
 * {@code ioctl_tty(2)} on descriptors of this process. Asked through the master of a pseudo-terminal, all but packet mode, lock and exclusive mode
 * mean its slave ({@code drivers/tty/tty_ioctl.c}). Numbers: {@code asm-generic/ioctls.h}. Any thread.
 */
public final class TerminalCalls {
  public static final int TIOCSCTTY = 0x540e;
  public static final int TIOCSPGRP = 0x5410;
  public static final int TIOCNOTTY = 0x5422;
  private static final int TIOCSTI = 0x5412;
  private static final int TCXONC = 0x540a;
  private static final int TCOOFF = 0;
  private static final int TCOON = 1;
  private static final int TIOCEXCL = 0x540c;
  private static final int TIOCGPGRP = 0x540f;
  private static final int TIOCGWINSZ = 0x5413;
  private static final int TIOCSWINSZ = 0x5414;
  private static final int FIONREAD = 0x541b;
  private static final int TIOCPKT = 0x5420;
  private static final int TIOCGETD = 0x5424;
  private static final int TIOCGSID = 0x5429;
  private static final int TIOCVHANGUP = 0x5437;
  private static final int TIOCGPTPEER = 0x5441;
  private static final int TIOCGLCKTRMIOS = 0x5456;
  private static final int TIOCSLCKTRMIOS = 0x5457;
  private static final int TIOCSPTLCK = 0x40045431;
  private static final int TIOCGPTN = 0x80045430;
  private static final int TIOCGDEV = 0x80045432;
  private static final int TIOCGPKT = 0x80045438;
  private static final int TIOCGPTLCK = 0x80045439;
  private static final int TIOCGEXCL = 0x80045440;
  private static final int TCGETS2 = 0x802c542a;
  private static final int TCSETS2 = 0x402c542b;

  /** {@code struct termios2}: four words of flags, line discipline, 19 characters, two speeds ({@code asm-generic/termbits.h}). */
  public static final int TERMIOS2_BYTES = 44;

  /** {@code struct termios}: the same without the speeds. */
  public static final int TERMIOS_BYTES = 36;

  /** {@code struct winsize}: rows, columns, and both in pixels, 16 bits each. */
  public static final int WINSIZE_BYTES = 8;

  private TerminalCalls() {}

  private static long ask(int fd, int request, long argument) {
    return Libc.syscall(SyscallNumber.IOCTL, fd, request & 0xffff_ffffL, argument);
  }

  private static long call(int fd, int request, String what, long argument) {
    return Libc.check(ask(fd, request, argument), () -> what + " on the terminal behind descriptor " + fd);
  }

  private static byte[] get(int fd, int request, String what, int size) {
    MemorySegment scratch = Scratch.get();
    call(fd, request, what, scratch.address());
    return scratch.asSlice(0, size).toArray(ValueLayout.JAVA_BYTE);
  }

  private static void set(int fd, int request, String what, byte[] bytes) {
    MemorySegment scratch = Scratch.get();
    MemorySegment.copy(bytes, 0, scratch, ValueLayout.JAVA_BYTE, 0, bytes.length);
    call(fd, request, what, scratch.address());
  }

  private static int number(int fd, int request, String what) {
    MemorySegment scratch = Scratch.get();
    call(fd, request, what, scratch.address());
    return scratch.get(ValueLayout.JAVA_INT, 0);
  }

  private static void setNumber(int fd, int request, String what, int value) {
    MemorySegment scratch = Scratch.get();
    scratch.set(ValueLayout.JAVA_INT, 0, value);
    call(fd, request, what, scratch.address());
  }

  /** Device number of the terminal that is really behind a descriptor, also behind {@code /dev/tty}; empty when it was hung up. */
  public static OptionalInt device(int fd) {
    MemorySegment scratch = Scratch.get();
    long result = ask(fd, TIOCGDEV, scratch.address());
    return result < 0 ? OptionalInt.empty() : OptionalInt.of(scratch.get(ValueLayout.JAVA_INT, 0));
  }

  /** The number of a master. */
  public static int index(int master) {
    return number(master, TIOCGPTN, "TIOCGPTN");
  }

  /** Opens the slave of a master, which is not locked; never makes it the controlling terminal. */
  public static int openSlave(int master, int flags) {
    int slave = (int) call(master, TIOCGPTPEER, "TIOCGPTPEER", flags | Fd.O_NOCTTY);
    // Asked for in the same call, it would stay among the flags of the open file, where fdinfo shows it for every descriptor.
    Fd.fcntl(slave, Fd.F_SETFD, Fd.FD_CLOEXEC);
    return slave;
  }

  /** The session whose controlling terminal it is, asked through the master, as this process counts; empty when there is none. */
  public static OptionalInt session(int master) {
    return task(master, TIOCGSID);
  }

  /** The foreground process group, asked through the master; 0 or empty when there is none. */
  public static OptionalInt foreground(int master) {
    return task(master, TIOCGPGRP);
  }

  private static OptionalInt task(int master, int request) {
    MemorySegment scratch = Scratch.get();
    long result = ask(master, request, scratch.address());
    return result < 0 ? OptionalInt.empty() : OptionalInt.of(scratch.get(ValueLayout.JAVA_INT, 0));
  }

  /** A {@code struct termios2}. */
  public static byte[] modes(int fd) {
    return get(fd, TCGETS2, "TCGETS2", TERMIOS2_BYTES);
  }

  public static void setModes(int fd, byte[] termios2) {
    set(fd, TCSETS2, "TCSETS2", termios2);
  }

  /** A {@code struct termios} with a one for each mode that cannot be changed. */
  public static byte[] lockedModes(int fd) {
    return get(fd, TIOCGLCKTRMIOS, "TIOCGLCKTRMIOS", TERMIOS_BYTES);
  }

  public static void setLockedModes(int fd, byte[] termios) {
    set(fd, TIOCSLCKTRMIOS, "TIOCSLCKTRMIOS", termios);
  }

  public static byte[] windowSize(int fd) {
    return get(fd, TIOCGWINSZ, "TIOCGWINSZ", WINSIZE_BYTES);
  }

  public static void setWindowSize(int fd, byte[] winsize) {
    set(fd, TIOCSWINSZ, "TIOCSWINSZ", winsize);
  }

  /** Number of the line discipline, 0 for the ordinary one. */
  public static int lineDiscipline(int fd) {
    return number(fd, TIOCGETD, "TIOCGETD");
  }

  public static boolean isPacketMode(int master) {
    return number(master, TIOCGPKT, "TIOCGPKT") != 0;
  }

  public static void setPacketMode(int master, boolean on) {
    setNumber(master, TIOCPKT, "TIOCPKT", on ? 1 : 0);
  }

  public static boolean isLocked(int master) {
    return number(master, TIOCGPTLCK, "TIOCGPTLCK") != 0;
  }

  public static void setLocked(int master, boolean on) {
    setNumber(master, TIOCSPTLCK, "TIOCSPTLCK", on ? 1 : 0);
  }

  public static boolean isExclusive(int fd) {
    return number(fd, TIOCGEXCL, "TIOCGEXCL") != 0;
  }

  public static void setExclusive(int fd) {
    call(fd, TIOCEXCL, "TIOCEXCL", 0);
  }

  /** Bytes that a read would give; in canonical mode those of complete lines only. */
  public static int waiting(int fd) {
    return number(fd, FIONREAD, "FIONREAD");
  }

  /** Puts one byte into what a slave receives, as if it had been typed; it has been processed when this returns. */
  public static void type(int slave, byte character) {
    MemorySegment scratch = Scratch.get();
    scratch.set(ValueLayout.JAVA_BYTE, 0, character);
    call(slave, TIOCSTI, "TIOCSTI", scratch.address());
  }

  /** Stops output so that only {@link #startOutput} starts it again, whatever is typed. */
  public static void stopOutput(int slave) {
    call(slave, TCXONC, "TCXONC", TCOOFF);
  }

  public static void startOutput(int slave) {
    call(slave, TCXONC, "TCXONC", TCOON);
  }

  /** Hangs up every descriptor of the slave. */
  public static void hangUp(int slave) {
    call(slave, TIOCVHANGUP, "TIOCVHANGUP", 0);
  }

  /** What one read gives, up to 4096 bytes; empty also when there is nothing or the terminal was hung up. The descriptor does not block. */
  public static byte[] read(int fd) {
    var scratch = Scratch.get().asSlice(0, 4096);
    long count = Fd.read(fd, scratch);
    return count <= 0 ? new byte[0] : scratch.asSlice(0, count).toArray(ValueLayout.JAVA_BYTE);
  }

  /** Writes some of the bytes, from a position on; how many, 0 when there is no room. The descriptor does not block. */
  public static int write(int fd, byte[] bytes, int from, int lengthMax) {
    int length = Math.min(lengthMax, bytes.length - from);
    var scratch = Scratch.get().asSlice(0, length);
    MemorySegment.copy(bytes, from, scratch, ValueLayout.JAVA_BYTE, 0, length);
    long count = Fd.write(fd, scratch);
    return count == -Errno.EAGAIN ? 0 : (int) Libc.check(count, () -> "writing to the terminal behind descriptor " + fd);
  }
}
