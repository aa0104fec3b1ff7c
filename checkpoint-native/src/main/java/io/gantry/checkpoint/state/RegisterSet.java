package io.gantry.checkpoint.state;

import io.gantry.checkpoint.image.user_x86_regs_entry;
import io.gantry.checkpoint.image.user_x86_regs_mode;

/** The general registers: places in {@code struct user_regs_struct} ({@code sys/user.h}), and the way into the schema and back. */
final class RegisterSet {
  static final int R10 = 7;
  static final int R8 = 9;
  static final int AX = 10;
  static final int DX = 12;
  static final int SI = 13;
  static final int DI = 14;
  static final int ORIG_AX = 15;
  static final int IP = 16;
  static final int CS = 17;

  private RegisterSet() {}

  static user_x86_regs_entry toEntry(long[] r) {
    return user_x86_regs_entry.newBuilder()
        .setR15(r[0])
        .setR14(r[1])
        .setR13(r[2])
        .setR12(r[3])
        .setBp(r[4])
        .setBx(r[5])
        .setR11(r[6])
        .setR10(r[R10])
        .setR9(r[8])
        .setR8(r[R8])
        .setAx(r[AX])
        .setCx(r[11])
        .setDx(r[DX])
        .setSi(r[SI])
        .setDi(r[DI])
        .setOrigAx(r[ORIG_AX])
        .setIp(r[IP])
        .setCs(r[CS])
        .setFlags(r[18])
        .setSp(r[19])
        .setSs(r[20])
        .setFsBase(r[21])
        .setGsBase(r[22])
        .setDs(r[23])
        .setEs(r[24])
        .setFs(r[25])
        .setGs(r[26])
        .setMode(user_x86_regs_mode.NATIVE)
        .build();
  }

  static long[] fromEntry(user_x86_regs_entry e) {
    return new long[] {
      e.getR15(), e.getR14(), e.getR13(), e.getR12(), e.getBp(), e.getBx(), e.getR11(), e.getR10(), e.getR9(), e.getR8(),
      e.getAx(), e.getCx(), e.getDx(), e.getSi(), e.getDi(), e.getOrigAx(), e.getIp(), e.getCs(), e.getFlags(), e.getSp(),
      e.getSs(), e.getFsBase(), e.getGsBase(), e.getDs(), e.getEs(), e.getFs(), e.getGs()
    };
  }
}
