package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.image.fd_types;
import io.gantry.checkpoint.image.file_entry;
import io.gantry.checkpoint.image.timerfd_entry;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.linux.TimerFd;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.time.Instant;
import java.util.List;

/**
 * {@code timerfd_create(2)}. The time that is left travels, so a timer stands still while its container does; only an absolute
 * timer of the wall clock keeps its deadline. Armed last, by {@link #arm}.
 */
final class Timer implements FileKind {
  private static final int CLOCK_REALTIME = 0;
  private static final int CLOCK_REALTIME_ALARM = 8;
  private static final long SECOND_NS = 1_000_000_000L;
  /** A timer that fires between two looks at it is looked at again, at most this often. */
  private static final int LOOKS_MAX = 8;

  @Override
  public String name(SeenDescriptor seen, int copy) {
    return "timerfd";
  }

  @Override
  public String how() {
    return "is made again with the time it had left";
  }

  @Override
  public boolean claims(SeenDescriptor seen, int copy) {
    return seen.isAnonymous("[timerfd]");
  }

  @Override
  public List<String> obstacles(SeenDescriptor seen, int copy, Inventory inventory) {
    return List.of();
  }

  @Override
  public file_entry capture(int id, SeenDescriptor seen, int copy, CaptureSession session) {
    // Asking for the setting makes the kernel settle what has expired; only then do ticks and remaining time belong together.
    // A periodic timer that expires right between the two calls shows no remaining time: look again.
    var setting = TimerFd.setting(copy);
    var info = session.inventory().infoNow(seen);
    for (int look = 1; look < LOOKS_MAX && setting.intervalNs() > 0 && ticks(info) > 0 && isZero(info); look++) {
      setting = TimerFd.setting(copy);
      info = session.inventory().infoNow(seen);
    }
    int settimeFlags = Integer.parseInt(info.required("settime flags"), 8);
    int clock = Integer.parseInt(info.required("clockid"));
    // A timer that fires once and did so between the two looks has its expiration in the ticks.
    long valueNs = setting.intervalNs() == 0 && isZero(info) ? 0 : setting.valueNs();
    var entry =
        timerfd_entry.newBuilder()
            .setId(id)
            .setFlags(info.statusFlags())
            .setFown(session.owner(copy))
            .setClockid(clock)
            .setTicks(ticks(info))
            .setSettimeFlags(settimeFlags)
            .setVsec(valueNs / SECOND_NS)
            .setVnsec(valueNs % SECOND_NS)
            .setIsec(setting.intervalNs() / SECOND_NS)
            .setInsec(setting.intervalNs() % SECOND_NS);
    boolean wallClock = clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_ALARM;
    if (wallClock && (settimeFlags & TimerFd.ABSTIME) != 0 && valueNs > 0) {
      var now = Instant.now();
      entry.setDeadlineRealtimeNs(now.getEpochSecond() * SECOND_NS + now.getNano() + valueNs);
    }
    return file_entry.newBuilder().setType(fd_types.TIMERFD).setId(id).setTfd(entry).build();
  }

  private static long ticks(DescriptorInfo info) {
    return Long.parseUnsignedLong(info.required("ticks"));
  }

  private static boolean isZero(DescriptorInfo info) {
    return info.required("it_value").equals("(0, 0)");
  }

  @Override
  public boolean describes(file_entry file) {
    return file.getType() == fd_types.TIMERFD;
  }

  @Override
  public void recreate(file_entry file, StubDescriptors home, Recreation recreation) {
    home.need(3, 0);
    var made = home.call("timerfd_create()", SyscallNumber.TIMERFD_CREATE, file.getTfd().getClockid(), 0);
    home.park(made, recreation.slot(file.getId()));
  }

  @Override
  public int lateFlags(file_entry file, Recreation recreation) {
    return file.getTfd().getFlags() & ~Fd.O_RDWR;
  }

  /** Adds the calls that start a timer, which is {@code fd} of the stub by now. */
  static void arm(timerfd_entry timer, int fd, StubDescriptors home) {
    long valueSeconds = timer.getVsec();
    long valueNanoseconds = timer.getVnsec();
    // Relative, unless the deadline itself is kept: other clocks do not tell the same time on two hosts.
    int flags = 0;
    if (timer.hasDeadlineRealtimeNs()) {
      flags = timer.getSettimeFlags();
      valueSeconds = timer.getDeadlineRealtimeNs() / SECOND_NS;
      valueNanoseconds = timer.getDeadlineRealtimeNs() % SECOND_NS;
    }
    var setting = ByteBuffer.allocate(32).order(ByteOrder.LITTLE_ENDIAN);
    setting.putLong(timer.getIsec()).putLong(timer.getInsec()).putLong(valueSeconds).putLong(valueNanoseconds);
    home.need(2, 64);
    home.call("timerfd_settime()", SyscallNumber.TIMERFD_SETTIME, fd, flags, home.bytes(setting.array()), 0);
    if (timer.getTicks() != 0) {
      var ticks = ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(timer.getTicks()).array();
      home.call("ioctl(timerfd, TFD_IOC_SET_TICKS)", SyscallNumber.IOCTL, fd, TimerFd.TFD_IOC_SET_TICKS, home.bytes(ticks));
    }
  }
}
