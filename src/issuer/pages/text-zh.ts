import { html } from './html.ts'
import type { PageText } from './page-text.ts'

export const CHINESE: PageText = {
  lang: 'zh-CN',
  motto: '凡通行者，必有其名。',
  errorPrefix: '出错：',
  problemHeading: '未能完成',
  problems: {
    wrong_password: '用户名与密码不匹配，请检查后重试。',
    field_missing: '请输入用户名和密码。',
    too_many_attempts: '尝试次数过多，请等待一分钟后重试。',
    code_missing: '请输入设备上显示的代码。',
    code_unknown: '没有这个代码，请与设备上显示的逐字核对。',
    code_expired: '此代码已过期，请让设备重新显示一个。',
    code_used: '此代码已被使用，请让设备重新显示一个。',
  },
  signIn: {
    title: '登录',
    lead: (client) => html`以继续使用 <strong><bdi>${client}</bdi></strong>`,
    username: '用户名',
    password: '密码',
    submit: '登录',
    cancel: '取消',
  },
  consent: {
    title: '是否授权？',
    lead: (client) => html`<strong><bdi>${client}</bdi></strong> 希望以您的名义进行操作。`,
    signedInAs: '当前账户',
    tenant: '所属组织',
    client: '客户端 ID',
    returnsTo: '将返回到',
    mayHeading: '授权后，它可以',
    scopes: {
      openid: '获知您的账户标识，并在您再次访问时识别您',
      profile: '查看您的姓名和用户名',
      offline_access: '在您离开后继续保持访问权限，直到您或管理员将其终止',
      ocr_api_access: '在您的额度之内，使用 OCR 服务识别图片和文档中的文字',
    },
    otherScope: (scope) => html`使用权限 <code>${scope}</code>`,
    atResource: (resource) => html`（位于 <code>${resource}</code>）`,
    note: '它不会看到您的密码。',
    allow: '允许',
    deny: '不允许',
  },
  device: {
    enterTitle: '连接设备',
    enterLead: '请输入您的设备或终端上显示的代码。',
    code: '代码',
    codeHint: '共八个字母，不分大小写，连字符可以省略。',
    submit: '继续',
    confirmTitle: '这是您的设备吗？',
    confirmLead: (client) =>
      html`另一台设备上的
        <strong><bdi>${client}</bdi></strong> 希望以您的身份登录。该设备上必须显示完全相同的代码：`,
    client: '客户端 ID',
    askedFrom: '请求来自',
    warningHeading: '这个代码或链接是别人发给您的吗？',
    warning:
      '如果是，请立即停止：发送者将会以您的身份获得访问权限。只有当您本人刚刚在面前的设备上发起登录时，才可以继续。',
    confirm: '代码一致，继续',
    refuse: '不是我的设备',
    doneTitle: '设备已连接',
    done: (client) =>
      html`<strong><bdi>${client}</bdi></strong> 已登录。您可以关闭此页面，回到您的设备。`,
    refusedTitle: '未授予任何权限',
    refused: '该设备不会获得访问权限。您可以关闭此页面。',
    another: '输入其他代码',
  },
  signOut: {
    title: '是否退出登录？',
    question: (client) =>
      client === undefined
        ? html`您将在此浏览器中退出登录。`
        : html`<strong><bdi>${client}</bdi></strong> 请求让您在此浏览器中退出登录。`,
    confirm: '退出登录',
    stay: '保持登录',
    doneTitle: '已退出登录',
    done: '您可以关闭此页面。',
    stayedTitle: '仍保持登录',
    stayed: '此浏览器中的登录状态没有改变。您可以关闭此页面。',
  },
  relay: {
    title: '还有一步',
    lead: '请点击“继续”返回应用。',
    switchTitle: '是否切换账户？',
    switchLead: '此浏览器中已登录另一个账户。继续操作将退出该账户。',
    submit: '继续',
  },
  failures: {
    expired: {
      title: '页面已失效',
      advice: '此页面打开时间过长、已被使用，或属于另一个浏览器。请回到应用，重新开始。',
    },
    cancelled: { title: '未授予任何权限', advice: '请求已取消。您可以关闭此页面。' },
    bad_request: {
      title: '无法处理此请求',
      advice:
        '应用发送的内容有误，您的账户没有受到任何影响。请返回重试；如果问题依旧，请联系该应用的负责人。',
    },
    too_many_attempts: { title: '尝试次数过多', advice: '请等待一分钟后重试。' },
    unavailable: { title: '暂时无法使用', advice: '请稍后重试。' },
    unexpected: {
      title: '出现问题',
      advice: '问题出在我们这边。请重试；如果问题依旧，请将下面的请求 ID 告知管理员。',
    },
  },
  failureDetails: '供应用开发者参考',
  failureCode: '错误',
  failureDescription: '说明',
  requestId: '请求 ID',
}
