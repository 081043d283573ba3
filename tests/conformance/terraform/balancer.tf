# The load balancer before the service of main.tf, and its cluster.

variable "certificate" { type = string }
variable "private_key" { type = string }

resource "aws_acm_certificate" "this" {
  count            = var.balanced ? 1 : 0
  certificate_body = var.certificate
  private_key      = var.private_key
  tags             = local.tags
}

resource "aws_lb" "front" {
  count           = var.balanced ? 1 : 0
  name            = "tf-front"
  subnets         = [for one in aws_subnet.public : one.id]
  security_groups = [aws_security_group.front.id]
  idle_timeout    = 90
  tags            = local.tags
  depends_on      = [aws_internet_gateway.this]
}

resource "aws_lb_target_group" "web" {
  count                = var.balanced ? 1 : 0
  name                 = "tf-web"
  port                 = 80
  protocol             = "HTTP"
  target_type          = "ip"
  vpc_id               = aws_vpc.this.id
  deregistration_delay = 5
  health_check {
    path    = "/health"
    matcher = "200-299"
  }
  tags = local.tags
}

resource "aws_lb_listener" "https" {
  count             = var.balanced ? 1 : 0
  load_balancer_arn = one(aws_lb.front).arn
  port              = 443
  protocol          = "HTTPS"
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"
  certificate_arn   = one(aws_acm_certificate.this).arn
  default_action {
    type = "fixed-response"
    fixed_response {
      content_type = "text/plain"
      status_code  = "404"
    }
  }
  tags = local.tags
}

resource "aws_lb_listener_rule" "web" {
  count        = var.balanced ? 1 : 0
  listener_arn = one(aws_lb_listener.https).arn
  priority     = 10
  action {
    type             = "forward"
    target_group_arn = one(aws_lb_target_group.web).arn
  }
  condition {
    path_pattern { values = ["/*"] }
  }
}

resource "aws_ecs_cluster" "this" {
  count = var.balanced ? 1 : 0
  name  = "tf-run"
  tags  = local.tags
}

resource "aws_ecs_cluster_capacity_providers" "this" {
  count              = var.balanced ? 1 : 0
  cluster_name       = one(aws_ecs_cluster.this).name
  capacity_providers = ["FARGATE", "FARGATE_SPOT"]
}
