package io.gantry.checkpoint.linux;

import java.lang.foreign.ValueLayout;
import java.util.Optional;

/**
 * A user namespace: who its parent and its owner are ({@code man 2 ioctl_nsfs}, {@code linux/nsfs.h}). It lives at least until
 * this is closed. Any thread.
 */
public final class UserNamespace implements AutoCloseable {
  /** {@code CLONE_NEWUSER}, {@code linux/sched.h}. */
  public static final int CLONE_NEWUSER = 0x1000_0000;

  private static final int NS_GET_USERNS = 0xb701;
  private static final int NS_GET_PARENT = 0xb702;
  private static final int NS_GET_OWNER_UID = 0xb704;

  private final int fd;
  private final long inode;

  private UserNamespace(int fd) {
    this.fd = fd;
    this.inode = FileStatus.of(fd).inode();
  }

  /** The one that a process is in, which may be a zombie. @throws KernelException when there is no such process */
  public static UserNamespace of(int pid) {
    return new UserNamespace(Fd.open("/proc/" + pid + "/ns/user", Fd.O_RDONLY | Fd.O_CLOEXEC, 0));
  }

  /** The one that owns the pid namespace in which a process is: who has rights in it may choose process ids there. */
  public static UserNamespace owningPidNamespaceOf(int pid) {
    int namespace = Fd.open("/proc/" + pid + "/ns/pid", Fd.O_RDONLY | Fd.O_CLOEXEC, 0);
    try {
      long owner = Fd.ioctl(namespace, NS_GET_USERNS, 0);
      return new UserNamespace((int) Libc.check(owner, () -> "ioctl(pid namespace of " + pid + ", NS_GET_USERNS)"));
    } finally {
      Fd.close(namespace);
    }
  }

  /** Tells namespaces apart as long as both are open. */
  public long inode() {
    return inode;
  }

  /** Belongs to this. */
  public int descriptor() {
    return fd;
  }

  /** The one in which it was made; empty when this process may not know it, because it is its own or above that. */
  public Optional<UserNamespace> parent() {
    long parent = Fd.ioctl(fd, NS_GET_PARENT, 0);
    return parent == -Errno.EPERM
        ? Optional.empty()
        : Optional.of(new UserNamespace((int) Libc.check(parent, () -> "ioctl(user namespace " + inode + ", NS_GET_PARENT)")));
  }

  /** Effective user of whoever has made it, as this process counts. */
  public int owner() {
    var at = Scratch.get();
    Libc.check(Fd.ioctl(fd, NS_GET_OWNER_UID, at), () -> "ioctl(user namespace " + inode + ", NS_GET_OWNER_UID)");
    return at.get(ValueLayout.JAVA_INT, 0);
  }

  @Override
  public void close() {
    Fd.close(fd);
  }
}
